// kiln-convert: models from and to PyTorch's files.
#include <CLI/CLI.hpp>

#include "apps/common/app_main.h"
#include "apps/common/environment.h"
#include "apps/common/options.h"
#include "apps/convert/convert.h"
#include "engine/core/error.h"
#include "models/zoo.h"

namespace kiln {
namespace {

constexpr const char* kFooter = R"(
SRC is one of
  model.pth               of torch.save: a state dict, or a checkpoint that holds one; DST is then a
                          model directory. Nothing in the file is executed
  a model directory       as kiln train writes it; DST is then a file that
                          torch.load(DST, weights_only=True) reads
  checkpoint.safetensors  of kiln train: DST is then PyTorch's checkpoint {"epoch",
                          "model_state_dict", "optimizer_state_dict", "loss"}

examples:
  kiln convert model.pth kiln-model
  kiln convert resnet.pth kiln-model --model resnet18 --classes cat,dog --mean 0.48 0.46 0.41
      --std 0.23 0.22 0.23
  kiln convert kiln-model model.pth --module-prefix
  kiln convert kiln-model/checkpoint.safetensors checkpoint.pth
)";

ConvertOptions parse(int argc, char** argv) {
  ConvertOptions o;
  CLI::App app("Models from and to PyTorch's files", "kiln convert");
  app.footer(kFooter);
  app.add_option("SRC", o.source, "What to read")->required();
  app.add_option("DST", o.target, "What to write")->required();
  app.add_option("--model", o.model,
                 "Network: " + known_models() +
                     " or a spec file (.json); default: the one whose tensors the file has");
  app.add_option("--classes", o.classes, "Names of the classes, with commas between them")
      ->delimiter(',');
  app.add_option("--mean", o.mean, "Per channel, on the scale 0 to 1; default 0.5")->expected(1, 3);
  app.add_option("--std", o.std, "Per channel; default 0.5")->expected(1, 3);
  app.add_flag("--module-prefix", o.module_prefix,
               "Write \"module.\" in front of every name, as DataParallel does");
  app.add_flag("--weights-only", o.weights_only, "Of a checkpoint write the weights alone");
  app.set_version_flag("--version", "kiln " + version(), "Print the version and leave");
  parse_flags(app, argc, argv);
  return o;
}

bool is_folder(const Path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

int run(int argc, char** argv) {
  const ConvertOptions o = parse(argc, argv);
  const bool of_kiln = is_folder(o.source) || o.source.ends_with(".safetensors");
  if (of_kiln && (!o.classes.empty() || !o.mean.empty() || !o.std.empty()))
    throw Error(ErrorKind::usage, "--classes, --mean and --std", "mean nothing in PyTorch's file",
                "leave them out");
  if (!of_kiln && (o.module_prefix || o.weights_only))
    throw Error(ErrorKind::usage, "--module-prefix and --weights-only",
                "are for files that PyTorch reads", "leave them out");
  if (of_kiln)
    convert_to_torch(o);
  else
    convert_from_torch(o);
  return 0;
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln convert", argc, argv, kiln::run); }
