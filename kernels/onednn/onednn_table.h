/* The C border between kiln and its oneDNN plug-in, libkiln_onednn.so: plain structs, a version, a
   table of functions. Nothing of oneDNN is visible here and no exception crosses. */
#ifndef KILN_ONEDNN_TABLE_H
#define KILN_ONEDNN_TABLE_H
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KILN_ONEDNN_ABI 1u
#define KILN_ONEDNN_ENTRY "kiln_onednn_table"

/* f32; x [n,h,w,c], weights [k,r,s,c/groups], y [n,p,q,k], all dense. */
typedef struct KilnOnednnShape {
  int64_t n, h, w, c, k, r, s;
  int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
  int32_t has_bias;
} KilnOnednnShape;

typedef enum KilnOnednnPass {
  KILN_ONEDNN_FORWARD = 0,
  KILN_ONEDNN_BACKWARD_DATA = 1,
  KILN_ONEDNN_BACKWARD_WEIGHTS = 2
} KilnOnednnPass;

/* One primitive for one thread: it runs on the calling thread alone, and one object never runs
   twice at a time. */
typedef struct KilnOnednnConv KilnOnednnConv;

typedef struct KilnOnednnTable {
  uint32_t abi;
  uint32_t size_bytes; /* of this struct */
  const char* library; /* such as "oneDNN 2.6.3" */

  /* NULL with one line in `error` where oneDNN cannot, or can only with its reference code. */
  KilnOnednnConv* (*create)(const KilnOnednnShape* shape, int32_t pass, char* error,
                            size_t error_bytes);
  void (*destroy)(KilnOnednnConv* conv);
  const char* (*algorithm)(const KilnOnednnConv* conv);
  /* Weights in the primitive's own layout, and its working memory; both 64-byte aligned. */
  size_t (*weights_bytes)(const KilnOnednnConv* conv);
  size_t (*scratchpad_bytes)(const KilnOnednnConv* conv);

  /* These return 0, or another number where oneDNN refused. */
  int32_t (*pack)(KilnOnednnConv* conv, const float* krsc, void* weights, void* scratchpad);
  int32_t (*unpack)(KilnOnednnConv* conv, const void* weights, float* krsc, void* scratchpad);
  /* forward:          x, weights, bias -> y
     backward data:    y is dy, weights -> x is dx
     backward weights: x, y is dy       -> weights, bias */
  int32_t (*run)(KilnOnednnConv* conv, float* x, void* weights, float* bias, float* y,
                 void* scratchpad);
} KilnOnednnTable;

/* NULL for an ABI that this plug-in does not speak. */
typedef const KilnOnednnTable* (*KilnOnednnEntry)(uint32_t abi);

#ifdef __cplusplus
}
#endif
#endif
