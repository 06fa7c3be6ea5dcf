#include "engine/serve/hooks.h"

#include <stdexcept>

namespace kiln::serve {

std::shared_ptr<const infer::Model> Hooks::model_fn(const Path& directory,
                                                    const ModelDescription& description,
                                                    Device device) const {
  return infer::Model::load(directory, description, device);
}

payload::Pictures Hooks::input_fn(const InputRequest& request) const {
  return payload::decode_pictures(request.body, request.content_type, request.model.shape,
                                  request.limits);
}

std::span<const float> Hooks::predict_fn(infer::Session& session, std::int64_t count,
                                         std::vector<float>&) const {
  session.run(count);
  return session.outputs(0, count);
}

HookReply Hooks::output_fn(const OutputRequest& request) const {
  if (!request.type)
    throw payload::Refusal(
        406,
        "Accept names no type that is written here; use application/json, application/x-npy "
        "or text/csv");
  return {.content_type = std::string(request.type->content_type()),
          .body = payload::encode_outputs(request.values, request.rows, request.columns,
                                          *request.type, request.predictions)};
}

HookReply Hooks::transform_fn(const TransformRequest&) const {
  throw std::logic_error("transform_fn is not overridden");
}

}  // namespace kiln::serve
