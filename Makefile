# Names for what people and .ci/run do; each is one script or one preset.
.PHONY: help build test fmt fmt-check lint checks shell asan tsan clang fuzz cover install cuda \
        serve-static bench quickstart ci

help:       ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
build:      ## optimised build into build/release
	cmake --preset release && cmake --build --preset release
test:       ## scripts/check: packages, build, every test, the count
	scripts/check
fmt:        ## clang-format, in place
	tools/format
fmt-check:  ## clang-format, only report
	tools/format --check
lint:       ## clang-tidy over every source
	tools/lint
checks:     ## include directions, op stems, documents
	tools/check_includes.py
	tools/check_stems.py
	tools/check_docs.py --bin build/release/bin
shell:      ## shellcheck and codespell
	tools/check-shell
asan:       ## Clang build of everything, every test under Address- and UBSan
	tools/test-preset asan
tsan:       ## ThreadSanitizer, the tests labelled `threads`
	tools/test-preset tsan --only-label threads
clang:      ## Clang, optimised, every test
	tools/test-preset clang
fuzz:       ## corpora and FUZZ_SECONDS (13) of libFuzzer for each target
	tools/fuzz $(or $(FUZZ_SECONDS),13)
cover:      ## line coverage of our sources
	tools/coverage
install:    ## install into an empty folder and consume the package
	tools/test-preset release -- -R install_consumer
cuda:       ## nvcc for sm_90; the tests run where there is a GPU
	tools/cuda-check
serve-static: ## the static server: its links, its size, and a run from an empty folder
	tools/serve-static
bench:      ## benchmarks, into build/bench
	cmake --preset bench && cmake --build --preset bench
quickstart: ## the short form of scripts/quickstart
	scripts/quickstart --smoke
ci:         ## everything that .ci/run does
	.ci/run
