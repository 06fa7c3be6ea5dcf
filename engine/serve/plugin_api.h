/* The interface of plug-ins: hooks of a model in a shared library, which the model's model.json
 * names. It is C, so that library and server may come from different compilers.
 *
 *   entry       the library exports kiln_hooks(), which returns a table of functions, or NULL where
 *               it cannot work here. The table lives as long as the library is loaded.
 *   functions   each may be NULL: then the server does that step itself. transform_fn takes the
 *               place of input_fn, predict_fn and output_fn; with one of those it is refused.
 *   threads     every function but model_fn and model_free is called by several threads at once.
 *   memory      what the server passes is the server's and valid until the function returns
 *               (KilnModel: until model_free returns). Nothing that the plug-in allocates is freed
 *               by the server. Results are written into memory that the server lends.
 *   errors      0 is success, KILN_NOT_MINE leaves a request to the server. 400 to 599 but 500 is
 * the status of the reply, and error->text its words. Any other value is the server's status 500,
 * and error->text goes to the log. No exception of C++ should leave a function.
 *
 * A plug-in has the rights of the server, and what it does to memory it does to the server. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KILN_PLUGIN_VERSION 1u

/* What input_fn and output_fn may return: the server does it for this request as it would without
 * the plug-in. */
#define KILN_NOT_MINE (-1)

/* Ended by 0, UTF-8, one line. */
typedef struct KilnError {
  char text[256];
} KilnError;

typedef struct KilnModel {
  const char* name;
  const char* version;
  const char* directory; /* the model's files */
  uint32_t height, width, channels;
  uint32_t class_count;
  const char* const* classes; /* [class_count] */
  void* state;                /* of the plug-in: model_fn sets it, model_free frees it */
} KilnModel;

typedef struct KilnRequest {
  const void* body; /* not ended by 0 */
  uint64_t body_bytes;
  const char* content_type; /* the field as it came; "" where there is none */
  const char* accept;       /* of transform_fn: the field, or the default in its place; else "" */
} KilnRequest;

/* Takes the pictures of a request. One of pixels() and values() is called, once; it returns zeroed
 * memory for [count, height, width, channels], or NULL where count is 0 or above the limit or no
 * memory is left. pixels: 0 to 255, still to be normalised. values: what the network sees. */
typedef struct KilnPictures {
  uint64_t limit;
  uint8_t* (*pixels)(struct KilnPictures* self, uint64_t count);
  float* (*values)(struct KilnPictures* self, uint64_t count);
} KilnPictures;

/* Pictures of several requests. `run` computes the network's outputs into `outputs` and returns 0;
 * it may be left out, and then the function fills all of `outputs` itself. */
typedef struct KilnBatch {
  uint64_t count, picture_size, output_size;
  const float* inputs; /* [count, height, width, channels], normalised; undefined after run() */
  float* outputs;      /* [count, output_size], zeroed */
  int32_t (*run)(struct KilnBatch* self);
} KilnBatch;

typedef struct KilnOutputs {
  const float* values; /* [rows, columns] */
  uint64_t rows, columns;
  const char* accept; /* the field, or the default in its place */
} KilnOutputs;

/* Takes the reply. write() appends and returns 0, or another value where the body would pass the
 * limit or no memory is left. content_type() must be called once, with printable ASCII. */
typedef struct KilnReply {
  uint64_t limit; /* bytes of the body */
  int32_t (*content_type)(struct KilnReply* self, const char* type);
  int32_t (*write)(struct KilnReply* self, const void* bytes, uint64_t size);
} KilnReply;

typedef struct KilnHooks {
  uint32_t version; /* KILN_PLUGIN_VERSION */
  uint32_t size;    /* sizeof(KilnHooks) */
  /* Once before the first request and once after the last; the network itself is loaded by the
   * server. model_free is not called where model_fn failed. */
  int32_t (*model_fn)(KilnModel* model, KilnError* error);
  void (*model_free)(KilnModel* model);
  int32_t (*input_fn)(const KilnModel* model, const KilnRequest* request, KilnPictures* pictures,
                      KilnError* error);
  int32_t (*predict_fn)(const KilnModel* model, KilnBatch* batch, KilnError* error);
  int32_t (*output_fn)(const KilnModel* model, const KilnOutputs* outputs, KilnReply* reply,
                       KilnError* error);
  int32_t (*transform_fn)(const KilnModel* model, const KilnRequest* request, KilnReply* reply,
                          KilnError* error);
} KilnHooks;

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const KilnHooks*
kiln_hooks(void);

#ifdef __cplusplus
}
#endif
