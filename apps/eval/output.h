// An evaluation as a table, as JSON, and as the data of a page.
#pragma once

#include <string>

#include "apps/eval/evaluation.h"
#include "engine/report/html_report.h"

namespace kiln {

struct EvaluationSubject {
  std::string model_name;  // as the person named it
  const Model& model;
  const Dataset& data;
  Split split;
  TestViews views = TestViews::none;
};

std::string to_table(const EvaluationSubject& subject, const Scores& scores);
std::string to_json(const EvaluationSubject& subject, const Scores& scores);
// `runner` computes the probabilities of the pictures shown.
ReportData to_report(const EvaluationSubject& subject, const Scores& scores, BatchRunner& runner);

}  // namespace kiln
