// report.html of a run: what the trainer, the files and the test set say about it.
#pragma once

#include "engine/report/html_report.h"
#include "engine/train/trainer.h"

namespace kiln {

// Evaluates the test set once more and fills confusion and sample pictures. The samples are drawn
// by number (`seed`), not by order, so that all classes come up.
void add_evaluation(ReportData& report, Trainer& trainer, const Dataset& test, std::uint64_t seed);

// The first layer's filters, where that layer is a convolution.
Picture first_filters(const ParameterStore& parameters);

}  // namespace kiln
