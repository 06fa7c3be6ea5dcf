// SageMaker's variables that stand for flags of the server.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/common/twins.h"

namespace kiln {

// Source: the parameters of SageMaker's inference toolkit and of its batch transform. Throws Error
// (usage) where SAGEMAKER_SAFE_PORT_RANGE is no range: a second port would have to lie in it, and
// the server opens none.
std::vector<ForeignTwin> sagemaker_twins(std::span<const std::string> environment);

// SAGEMAKER_BASE_DIR, or /opt/ml.
std::string sagemaker_base(std::span<const std::string> environment);

// A line for each variable that is set and names Python code, which is not run here.
std::vector<std::string> unread_sagemaker_code(std::span<const std::string> environment);

}  // namespace kiln
