// Hooks: what the server does with a model and with a request, in the five functions that the
// reference toolkit for Python has. A class that overrides some of them changes those and leaves
// the others as they are:
//
//   class Warm final : public HooksOf<Warm> {
//     std::span<const float> predict_fn(infer::Session& session, std::int64_t count,
//                                       std::vector<float>& own) const override { ... }
//   };
//
//   model_fn      once for each model: a directory into a network
//   input_fn      a body of POST /invocations into pictures
//   predict_fn    a batch of pictures into numbers; of /v2/models/M/infer as well
//   output_fn     numbers into the body of a reply of POST /invocations
//   transform_fn  in the place of input_fn, predict_fn and output_fn: a body into a body; whoever
//                 overrides it overrides none of the three
//
// The bodies of /v2/models/M/infer are those of its protocol: neither input_fn nor output_fn nor
// transform_fn sees them.
//
// Every function but model_fn is called by several threads at once. payload::Refusal becomes its
// status and its words; any other exception becomes 500, and its words go to the log. A predict_fn
// computes for several clients, so whatever it throws fails the batch with 500. What overrides
// input_fn, predict_fn, output_fn or transform_fn is never called by the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/file.h"
#include "engine/infer/model.h"
#include "engine/infer/session.h"
#include "engine/payload/decode.h"
#include "engine/payload/encode.h"
#include "engine/serve/served_model.h"

namespace kiln::serve {

// Which of the functions are not the server's own.
struct HookSet {
  bool model_fn = false, input_fn = false, predict_fn = false, output_fn = false,
       transform_fn = false;

  bool exclusive() const { return !transform_fn || (!input_fn && !predict_fn && !output_fn); }
  bool of_requests() const { return input_fn || predict_fn || output_fn || transform_fn; }
};

struct InputRequest {
  std::string_view body, content_type;  // the field as it came; empty where there is none
  const ModelIdentity& model;
  const payload::DecodeLimits& limits;
};

struct OutputRequest {
  std::span<const float> values;  // [rows, columns]
  std::int64_t rows = 0, columns = 0;
  std::string_view accept;                        // the field, or the default in its place
  const std::optional<payload::ReplyType>& type;  // of those that are written here; none of them
  bool predictions = false;                       // what input_fn said in Pictures::instances
  const ModelIdentity& model;
};

struct TransformRequest {
  std::string_view body, content_type, accept;
  const ModelIdentity& model;
  const payload::DecodeLimits& limits;
};

struct HookReply {
  std::string content_type;  // printable
  std::string body;
};

class Hooks {
 public:
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;
  virtual ~Hooks() = default;

  const HookSet& overridden() const { return overridden_; }

  // The network of a model directory, which `description` describes; its pictures and its number
  // of classes must be those of the description. Throws Error.
  virtual std::shared_ptr<const infer::Model> model_fn(const Path& directory,
                                                       const ModelDescription& description,
                                                       Device device) const;

  // At least one picture of the model's shape, as bytes or as values.
  virtual payload::Pictures input_fn(const InputRequest& request) const;

  // Rows [0, count) of the session's input, which are filled, into f32 [count, output_size]. What
  // is returned is valid until the next call with this session: the session's own outputs, or
  // `own`, which no one else touches and which keeps its memory. A request's pictures may come in
  // several batches. Called with rows of any numbers before the model is put to work.
  virtual std::span<const float> predict_fn(infer::Session& session, std::int64_t count,
                                            std::vector<float>& own) const;

  virtual HookReply output_fn(const OutputRequest& request) const;

  // Called only where it is overridden.
  virtual HookReply transform_fn(const TransformRequest& request) const;

 protected:
  explicit Hooks(const HookSet& overridden) : overridden_(overridden) {}

 private:
  const HookSet overridden_;
};

// What the server does by itself.
class DefaultHooks final : public Hooks {
 public:
  DefaultHooks() : Hooks(HookSet()) {}
};

// The base of a class of one's own. The type of a pointer to a member names the class that declares
// it, so what Self overrides is known without its saying so.
template <class Self>
class HooksOf : public Hooks {
 protected:
  HooksOf() : Hooks(overridden_by_self()) {
    static_assert(std::is_final_v<Self>, "a class of hooks is final: what it overrides is counted");
  }

 private:
  template <class Member, class OfHooks>
  static constexpr bool differs(Member, OfHooks) {
    return !std::is_same_v<Member, OfHooks>;
  }
  static constexpr HookSet overridden_by_self() {
    constexpr HookSet set{.model_fn = differs(&Self::model_fn, &Hooks::model_fn),
                          .input_fn = differs(&Self::input_fn, &Hooks::input_fn),
                          .predict_fn = differs(&Self::predict_fn, &Hooks::predict_fn),
                          .output_fn = differs(&Self::output_fn, &Hooks::output_fn),
                          .transform_fn = differs(&Self::transform_fn, &Hooks::transform_fn)};
    static_assert(!set.transform_fn || (!set.input_fn && !set.predict_fn && !set.output_fn),
                  "transform_fn takes the place of input_fn, predict_fn and output_fn");
    return set;
  }
};

}  // namespace kiln::serve
