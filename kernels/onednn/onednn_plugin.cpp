// libkiln_onednn.so: convolutions by oneDNN 2.x, behind kernels/onednn/onednn_table.h.
//
// oneDNN is built on OpenMP here. kiln's own threads call it, each with its own primitive, so every
// primitive is created and run with one OpenMP thread and libgomp never starts one of its own.
#include <cstdio>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "kernels/onednn/onednn_table.h"

#if DNNL_VERSION_MAJOR != 2
#error "written for oneDNN 2.x, whose primitives are made from operation descriptors"
#endif

// libgomp, which libdnnl brings along.
extern "C" void omp_set_num_threads(int count);
extern "C" int omp_get_max_threads(void);

namespace {

using dnnl::memory;

class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

memory::desc image(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
  return {{n, c, h, w}, memory::data_type::f32, memory::format_tag::nhwc};
}

// What a primitive of any pass is made from.
struct Descriptors {
  explicit Descriptors(const KilnOnednnShape& s)
      : x(image(s.n, s.c, s.h, s.w)),
        y(image(s.n, s.k, outputs(s.h, s.pad_h, s.dilation_h, s.r, s.stride_h),
                outputs(s.w, s.pad_w, s.dilation_w, s.s, s.stride_w))),
        strides{s.stride_h, s.stride_w},
        dilates{s.dilation_h - 1, s.dilation_w - 1},
        pads{s.pad_h, s.pad_w} {
    const std::int64_t group_c = s.c / s.groups;
    const memory::dims dense{s.k, group_c, s.r, s.s};
    const memory::dims grouped{s.groups, s.k / s.groups, group_c, s.r, s.s};
    const auto f32 = memory::data_type::f32;
    // Plain weights would select reference code, a thousand times slower.
    weights = {s.groups == 1 ? dense : grouped, f32, memory::format_tag::any};
    krsc = s.groups == 1 ? memory::desc(dense, f32, memory::format_tag::acdb)
                         : memory::desc(grouped, f32, memory::format_tag::abdec);
    if (s.has_bias) bias = {{s.k}, f32, memory::format_tag::x};
  }
  static std::int64_t outputs(std::int64_t extent, std::int64_t pad, std::int64_t dilation,
                              std::int64_t window, std::int64_t stride) {
    return (extent + 2 * pad - dilation * (window - 1) - 1) / stride + 1;
  }

  memory::desc x, y, weights, krsc, bias;
  memory::dims strides, dilates, pads;
};

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

}  // namespace

struct KilnOnednnConv {
  KilnOnednnConv(const KilnOnednnShape& shape, std::int32_t which)
      : pass(which), has_bias(shape.has_bias != 0) {
    const Descriptors d(shape);
    if (pass == KILN_ONEDNN_FORWARD)
      make_forward(d);
    else if (pass == KILN_ONEDNN_BACKWARD_DATA)
      make_backward_data(d);
    else
      make_backward_weights(d);
    if (algorithm.rfind("ref", 0) == 0)
      throw dnnl::error(dnnl_unimplemented, "reference code only");
    krsc = memory(d.krsc, engine, nullptr);
    weights = memory(weights_md, engine, nullptr);
    x = memory(d.x, engine, nullptr);
    y = memory(d.y, engine, nullptr);
    if (has_bias) bias = memory(d.bias, engine, nullptr);
    make_reorder(pass == KILN_ONEDNN_BACKWARD_WEIGHTS ? weights_md : d.krsc,
                 pass == KILN_ONEDNN_BACKWARD_WEIGHTS ? d.krsc : weights_md);
    scratchpad = memory(scratchpad_md, engine, nullptr);
  }

  static dnnl::primitive_attr user_scratchpad() {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return attributes;
  }
  dnnl::convolution_forward::primitive_desc forward_desc(const Descriptors& d,
                                                         const dnnl::primitive_attr& attributes) {
    const auto kind = dnnl::prop_kind::forward_training;
    return {{kind, kDirect, d.x, d.weights, d.bias, d.y, d.strides, d.dilates, d.pads, d.pads},
            attributes,
            engine};
  }
  template <class Desc>
  void keep(const Desc& desc, const memory::desc& weights_layout) {
    algorithm = desc.impl_info_str();
    weights_md = weights_layout;
    scratchpad_md = desc.scratchpad_desc();
  }
  void make_forward(const Descriptors& d) {
    const auto desc = forward_desc(d, user_scratchpad());
    keep(desc, desc.weights_desc());
    primitive = dnnl::convolution_forward(desc);
  }
  void make_backward_data(const Descriptors& d) {
    Descriptors no_bias = d;
    no_bias.bias = {};
    const auto attributes = user_scratchpad();
    const dnnl::convolution_backward_data::primitive_desc desc(
        {kDirect, d.x, d.weights, d.y, d.strides, d.dilates, d.pads, d.pads}, attributes, engine,
        forward_desc(no_bias, attributes));
    keep(desc, desc.weights_desc());
    primitive = dnnl::convolution_backward_data(desc);
  }
  void make_backward_weights(const Descriptors& d) {
    const auto attributes = user_scratchpad();
    const dnnl::convolution_backward_weights::primitive_desc desc(
        {kDirect, d.x, d.weights, d.bias, d.y, d.strides, d.dilates, d.pads, d.pads}, attributes,
        engine, forward_desc(d, attributes));
    keep(desc, desc.diff_weights_desc());
    primitive = dnnl::convolution_backward_weights(desc);
  }
  void make_reorder(const memory::desc& from, const memory::desc& to) {
    const dnnl::reorder::primitive_desc desc(engine, from, engine, to, user_scratchpad());
    reorder_scratchpad = memory(desc.scratchpad_desc(), engine, nullptr);
    reorder = dnnl::reorder(desc);
  }

  // Both take plain arrays: the C++ interface would build a map on the heap.
  std::int32_t run_reorder(void* from_data, void* to_data, void* scratch) {
    const bool unpacks = pass == KILN_ONEDNN_BACKWARD_WEIGHTS;
    memory& from = unpacks ? weights : krsc;
    memory& to = unpacks ? krsc : weights;
    from.set_data_handle(from_data);
    to.set_data_handle(to_data);
    reorder_scratchpad.set_data_handle(scratch);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from.get()},
                                         {DNNL_ARG_TO, to.get()},
                                         {DNNL_ARG_SCRATCHPAD, reorder_scratchpad.get()}};
    return dnnl_primitive_execute(reorder.get(), stream.get(), 3, arguments);
  }
  std::int32_t run(float* x_data, void* weights_data, float* bias_data, float* y_data,
                   void* scratch) {
    x.set_data_handle(x_data);
    weights.set_data_handle(weights_data);
    y.set_data_handle(y_data);
    scratchpad.set_data_handle(scratch);
    if (has_bias) bias.set_data_handle(bias_data);
    const bool data = pass == KILN_ONEDNN_BACKWARD_DATA;
    const bool forward = pass == KILN_ONEDNN_FORWARD;
    dnnl_exec_arg_t arguments[5] = {
        {data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, x.get()},
        {forward || data ? DNNL_ARG_WEIGHTS : DNNL_ARG_DIFF_WEIGHTS, weights.get()},
        {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, y.get()},
        {DNNL_ARG_SCRATCHPAD, scratchpad.get()},
        {}};
    int count = 4;
    if (has_bias && !data)
      arguments[count++] = {forward ? DNNL_ARG_BIAS : DNNL_ARG_DIFF_BIAS, bias.get()};
    return dnnl_primitive_execute(primitive.get(), stream.get(), count, arguments);
  }
  std::size_t scratchpad_bytes() const {
    return std::max(scratchpad_md.get_size(), reorder_scratchpad.get_desc().get_size());
  }

  std::int32_t pass;
  bool has_bias;
  std::string algorithm;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  memory::desc weights_md, scratchpad_md;
  dnnl::primitive primitive, reorder;
  memory x, y, krsc, weights, bias, scratchpad, reorder_scratchpad;
};

namespace {

KilnOnednnConv* create(const KilnOnednnShape* shape, std::int32_t pass, char* error,
                       std::size_t error_bytes) {
  const OneThread one;
  try {
    return new KilnOnednnConv(*shape, pass);
  } catch (const std::exception& fault) {
    std::snprintf(error, error_bytes, "%s", fault.what());
  }
  return nullptr;
}

// The stream is in order and the threads are the caller's, so nothing is left to wait for.
template <class F>
std::int32_t guarded(const F& f) {
  const OneThread one;
  try {
    return f();
  } catch (const std::exception&) {
    return -1;
  }
}

const KilnOnednnTable kTable{
    .abi = KILN_ONEDNN_ABI,
    .size_bytes = sizeof(KilnOnednnTable),
    .library = "oneDNN " DNNL_VERSION_TEXT,
    .create = create,
    .destroy = [](KilnOnednnConv* conv) { delete conv; },
    .algorithm = [](const KilnOnednnConv* conv) { return conv->algorithm.c_str(); },
    .weights_bytes = [](const KilnOnednnConv* conv) { return conv->weights_md.get_size(); },
    .scratchpad_bytes = [](const KilnOnednnConv* conv) { return conv->scratchpad_bytes(); },
    .pack =
        [](KilnOnednnConv* conv, const float* krsc, void* weights, void* scratchpad) {
          return guarded(
              [&] { return conv->run_reorder(const_cast<float*>(krsc), weights, scratchpad); });
        },
    .unpack =
        [](KilnOnednnConv* conv, const void* weights, float* krsc, void* scratchpad) {
          return guarded(
              [&] { return conv->run_reorder(const_cast<void*>(weights), krsc, scratchpad); });
        },
    .run =
        [](KilnOnednnConv* conv, float* x, void* weights, float* bias, float* y, void* scratchpad) {
          return guarded([&] { return conv->run(x, weights, bias, y, scratchpad); });
        },
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const KilnOnednnTable* kiln_onednn_table(
    std::uint32_t abi) {
  return abi == KILN_ONEDNN_ABI ? &kTable : nullptr;
}
