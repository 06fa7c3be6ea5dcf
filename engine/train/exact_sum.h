// ExactSum: a sum of gradients whose bits do not depend on the order of its summands.
//
// Each summand is rounded to multiples of 2^-42, which are added in f64: exactly, while no element
// reaches 512 and no sum of magnitudes 2048. So any number of threads, ranks and micro-batches that
// add the same summands come to the same bits. Summands from 512 on are added as they are: their
// sum is still one of f64, in the order in which it is taken. Of an element 1.1e-13 at most is lost
// in each summand; the gradients' own f32 has that resolution at 1e-6.
#pragma once

#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/train/parameters.h"

namespace kiln {

class ExactSum {
 public:
  static constexpr double kGrid = 0x1p-42;

  // Of gradients like those of `parameters`, f32 on the host, added by up to `thread_count`
  // threads.
  ExactSum(const ParameterStore& parameters, int thread_count);

  void clear();
  // By thread `thread`, whose own context this is.
  void add(Context& own, int thread, const Tensor& gradients);
  // Puts the sum of what all threads have added into total(); once between two clear().
  void add_threads(Context& c);
  // f64, as long as flat_gradients(); always the same memory, in which ranks add theirs.
  Tensor total() const { return part(0); }
  // Rounds total() to f32.
  void write(Context& c, const Tensor& gradients);

 private:
  Tensor part(int thread) const;

  Shape shape_;
  std::vector<Buffer> parts_;  // f64, one a thread
  std::vector<char> written_;  // since clear(), by thread
};

}  // namespace kiln
