# The server alone, one static program in an empty image: 3 MB.
#   docker build -f docker/serve.Dockerfile -t kiln-serve .
#   docker run --rm -p 8080:8080 -v "$PWD/kiln-model:/opt/ml/model:ro" kiln-serve
# The model must be readable for user 1000.
FROM debian:12-slim AS build
WORKDIR /src
# First the packages alone, so that a change of source does not install them again.
COPY scripts/packages.txt scripts/install-packages scripts/
RUN scripts/install-packages build
COPY . .
RUN cmake --preset serve-static \
 && cmake --build --preset serve-static

FROM scratch
COPY --from=build /src/build/serve-static/bin/kiln-serve /kiln-serve
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
USER 1000:1000
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/kiln-serve"]
CMD ["serve"]
