// transform_fn takes the place of input_fn, predict_fn and output_fn.
#include "engine/serve/hooks.h"

namespace {

class Both final : public kiln::serve::HooksOf<Both> {
 public:
  kiln::serve::HookReply transform_fn(const kiln::serve::TransformRequest&) const override {
    return {};
  }
#ifdef KILN_MUST_FAIL
  kiln::serve::HookReply output_fn(const kiln::serve::OutputRequest&) const override { return {}; }
#endif
};

}  // namespace

std::shared_ptr<const kiln::serve::Hooks> made();
std::shared_ptr<const kiln::serve::Hooks> made() { return std::make_shared<const Both>(); }
