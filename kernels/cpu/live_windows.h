// The windows of one image that pass a gradient on, listed by window and by filter. For files
// compiled by kiln_simd_sources only.
//
// About half the windows are dead, at random: a branch for each would be mispredicted every other
// time. So an element is written to the end of the list in any case, and only a live one moves the
// end. With AVX-512 sixteen elements are squeezed into the list at once.
#pragma once

#include "kernels/cpu/bordered_image.h"
#include "kernels/cpu/interleave.h"
#include "kernels/cpu/simd.h"

namespace kiln::cpu::KILN_ISA {

// (offset, g): g times the patch at source + offset is to be added. Two arrays side by side.
struct Entries {
  const std::int32_t* offset;
  const float* g;
  int count;
};

// Where the maximum of a window stands says where its patch begins, in floats.
struct PlaceOffsets {
  std::int32_t at[16];  // of places 0..3; a whole vector, for AVX-512
};

class LiveWindows {
 public:
  // Floats of scratch for one image's lists, and for the tables that all images share.
  static std::int64_t scratch_floats(const ConvPoolExtents& e) {
    return 5 * list_floats(e) + e.k + e.p * e.q + 1;
  }
  static std::int64_t table_floats(const ConvPoolExtents& e) {
    return std::int64_t{e.p} * e.q * e.k + shuffle_table_count(e.k);
  }

  // table[window, k] = the window's corner in the bordered image, and k above bit 16: an image has
  // at most 2^16 elements. Then the table that splits [windows, k] by filter.
  static void fill_table(const ConvPoolExtents& e, std::int32_t* table) {
    const int row = e.q * e.k;
    for (int q = 0; q < e.q; ++q)
      for (int k = 0; k < e.k; ++k) table[q * e.k + k] = k << kFilterShift | 2 * q * e.c;
    for (int p = 1; p < e.p; ++p)
      for (int i = 0; i < row; ++i) table[p * row + i] = table[i] + 2 * p * bordered_row(e);
    fill_split_table(e.k, table + e.p * row);
  }

  // `filter_floats` and `in_filter`: where a filter begins and what a place adds, for by_window().
  LiveWindows(const ConvPoolExtents& e, const std::int32_t* table, int filter_floats,
              const PlaceOffsets& in_filter, float* scratch)
      : extents_(e),
        windows_(e.p * e.q),
        table_(table),
        filter_floats_(filter_floats),
        in_image_{{0, e.c, bordered_row(e), bordered_row(e) + e.c}},
        in_filter_(in_filter) {
    g_ = scratch;
    filter_g_ = g_ + list_floats(e);
    key_ = reinterpret_cast<std::int32_t*>(filter_g_ + list_floats(e));
    filter_offset_ = key_ + list_floats(e);
    window_offset_ = filter_offset_ + list_floats(e);
    filter_end_ = window_offset_ + list_floats(e);
    window_begin_ = filter_end_ + e.k;
  }

  // Lists the live ones of one image by window and by filter: y, index and dy are [windows, k].
  void list(const float* y, const std::uint8_t* index, const float* dy) {
    squeeze(y, index, dy);
    for (int k = 0; k < extents_.k; ++k) filter_end_[k] = filter_begin(k);
    split_by_filter(key_, g_, count_, filter_end_, filter_offset_, filter_g_);
  }

  // By filter only.
  void list_by_filter(const float* y, const std::uint8_t* index, const float* dy) {
#if defined(KILN_ISA_avx512)
    if (extents_.k == 2) return squeeze_filters<2>(y, index, dy);
    if (extents_.k == 4) return squeeze_filters<4>(y, index, dy);
    if (extents_.k == 6) return squeeze_filters<6>(y, index, dy);
    if (extents_.k == 8) return squeeze_filters<8>(y, index, dy);
#endif
    list(y, index, dy);
  }

  // The live windows of filter k, with their places in the bordered image.
  Entries by_filter(int k) const {
    const int begin = filter_begin(k);
    return {filter_offset_ + begin, filter_g_ + begin, filter_end_[k] - begin};
  }
  // The live filters of a window, with their places among the filters.
  Entries by_window(int window) const {
    const int begin = window_begin_[window];
    return {window_offset_ + begin, g_ + begin, window_begin_[window + 1] - begin};
  }

 private:
  static constexpr int kFilterShift = 16, kOffsetMask = 0xFFFF;

  // Sends every element to the end of its filter's list. A function of its own, because its six
  // pointers want registers: inlined they were fetched anew for each element.
  [[gnu::noinline]] static void split_by_filter(const std::int32_t* __restrict key,
                                                const float* __restrict g, int count,
                                                std::int32_t* __restrict end,
                                                std::int32_t* __restrict offset,
                                                float* __restrict filter_g) {
    for (int i = 0; i < count; ++i) {
      const int at = end[key[i] >> kFilterShift]++;
      offset[at] = key[i] & kOffsetMask;
      filter_g[at] = g[i];
    }
  }

  // Every list is written in whole vectors.
  static std::int64_t list_floats(const ConvPoolExtents& e) {
    return std::int64_t{e.k} * (e.p * e.q + kLanes);
  }
  int filter_begin(int k) const { return k * (windows_ + kLanes); }

#if defined(KILN_ISA_avx512)
  // Sixteen neighbours of [windows, k]; those from `left` on do not exist and count as dead.
  struct Sixteen {
    __mmask16 inside, live;
    __m512i place, table;
    __m512 g;

    Sixteen(const float* y, const std::uint8_t* index, const float* dy, const std::int32_t* entries,
            int left)
        : inside(static_cast<__mmask16>(left >= 16 ? -1
                                        : left > 0 ? (1 << left) - 1
                                                   : 0)),
          live(_mm512_cmp_ps_mask(_mm512_maskz_loadu_ps(inside, y), __m512{}, _CMP_GT_OQ)),
          place(_mm512_and_epi32(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(inside, index)),
                                 _mm512_set1_epi32(3))),
          table(_mm512_maskz_loadu_epi32(inside, entries)),
          g(_mm512_maskz_loadu_ps(live, dy)) {}

    __m512i key(__m512i in_image) const {
      return _mm512_add_epi32(table, _mm512_permutexvar_epi32(place, in_image));
    }
  };

  void squeeze(const float* y, const std::uint8_t* index, const float* dy) {
    const int total = windows_ * extents_.k;
    const __m512i in_image = _mm512_loadu_si512(in_image_.at);
    const __m512i in_filter = _mm512_loadu_si512(in_filter_.at);
    const __m512i filter_floats = _mm512_set1_epi32(filter_floats_);
    int count = 0, window = 0, window_at = 0;
    for (int at = 0; at < total; at += 16) {
      const Sixteen s(y + at, index + at, dy + at, table_ + at, total - at);
      const __m512i from_filter = _mm512_add_epi32(
          _mm512_mullo_epi32(_mm512_srli_epi32(s.table, kFilterShift), filter_floats),
          _mm512_permutexvar_epi32(s.place, in_filter));
      _mm512_storeu_ps(g_ + count, _mm512_maskz_compress_ps(s.live, s.g));
      _mm512_storeu_si512(key_ + count, _mm512_maskz_compress_epi32(s.live, s.key(in_image)));
      _mm512_storeu_si512(window_offset_ + count, _mm512_maskz_compress_epi32(s.live, from_filter));
      for (; window_at < at + 16 && window < windows_; ++window, window_at += extents_.k)
        window_begin_[window] = count + __builtin_popcount(s.live & ((1u << (window_at - at)) - 1));
      count += __builtin_popcount(s.live);
    }
    window_begin_[windows_] = count_ = count;
  }

  // Sixteen windows of M filters at a time: M vectors, split by filter, each squeezed into its
  // list.
  template <int M>
  void squeeze_filters(const float* y, const std::uint8_t* index, const float* dy) {
    const std::int32_t* split_table = table_ + windows_ * M;
    const __m512i in_image = _mm512_loadu_si512(in_image_.at);
    int end[M];
    KILN_UNROLL for (int k = 0; k < M; ++k) end[k] = filter_begin(k);
    for (int at = 0; at < windows_ * M; at += 16 * M) {
      Vec g[M], key[M];
      KILN_UNROLL for (int m = 0; m < M; ++m) {
        const int here = at + 16 * m;
        const Sixteen s(y + here, index + here, dy + here, table_ + here, windows_ * M - here);
        g[m] = s.g;
        key[m] = _mm512_castsi512_ps(s.key(in_image));
      }
      KILN_UNROLL for (int k = 0; k < M; ++k) {
        const Vec filter_g = shuffle<M>(g, split_table + k * (M / 2) * 16);
        const __m512i offset =
            _mm512_and_epi32(_mm512_castps_si512(shuffle<M>(key, split_table + k * (M / 2) * 16)),
                             _mm512_set1_epi32(kOffsetMask));
        // A live window without gradient adds nothing either.
        const __mmask16 live = _mm512_cmp_ps_mask(filter_g, __m512{}, _CMP_NEQ_UQ);
        _mm512_storeu_ps(filter_g_ + end[k], _mm512_maskz_compress_ps(live, filter_g));
        _mm512_storeu_si512(filter_offset_ + end[k], _mm512_maskz_compress_epi32(live, offset));
        end[k] += __builtin_popcount(live);
      }
    }
    KILN_UNROLL for (int k = 0; k < M; ++k) filter_end_[k] = end[k];
  }
#else
  void squeeze(const float* y, const std::uint8_t* index, const float* dy) {
    int count = 0;
    for (int window = 0, at = 0; window < windows_; ++window) {
      window_begin_[window] = count;
      for (int k = 0; k < extents_.k; ++k, ++at) {
        const int place = index[at] & 3;
        g_[count] = dy[at];
        key_[count] = table_[at] + in_image_.at[place];
        window_offset_[count] = k * filter_floats_ + in_filter_.at[place];
        count += y[at] > 0.0f ? 1 : 0;
      }
    }
    window_begin_[windows_] = count_ = count;
  }
#endif

  const ConvPoolExtents extents_;
  const int windows_;
  const std::int32_t* table_;
  int filter_floats_;
  PlaceOffsets in_image_, in_filter_;
  float *g_, *filter_g_;
  std::int32_t *key_, *filter_offset_, *window_offset_, *filter_end_, *window_begin_;
  int count_ = 0;
};

}  // namespace kiln::cpu::KILN_ISA
