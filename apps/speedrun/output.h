// A series as a table, and as a picture of accuracy against seconds.
#pragma once

#include <string>

#include "apps/speedrun/series.h"

namespace kiln {

std::string to_table(const Series& series);

// An SVG that needs nothing else: one point a run, and the means with their standard deviations.
// `series` must have a run.
std::string to_plot(const Series& series);

}  // namespace kiln
