// An anatomy as tables and as JSON.
#pragma once

#include <string>

#include "apps/inspect/anatomy.h"
#include "models/model_card.h"

namespace kiln {

// `card`: what is known of a trained model; null for a bare network.
std::string to_table(const ModelSpec& spec, const ModelCard* card, const Anatomy& anatomy,
                     bool with_plans);
std::string to_json(const ModelSpec& spec, const ModelCard* card, const Anatomy& anatomy);

}  // namespace kiln
