#include "models/torch_file.h"

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>

#include "engine/core/error.h"
#include "models/model_directory.h"
#include "models/parameter_layout.h"
#include "models/torch_model.h"
#include "models/torch_writer.h"
#include "models/zoo.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Written by PyTorch: tests/models/make_torch_files.py.
Path golden(const std::string& name) {
  const char* source = std::getenv("KILN_SOURCE_DIR");
  return Path(source != nullptr ? source : ".") / "tests/models/torch" / name;
}

std::string fault_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "no error";
}

std::string fault_of_file(const std::string& name) {
  return fault_of([&] { TorchFile file(golden(name)); });
}

std::vector<float> floats_of(const TorchFile& file, std::string_view name) {
  const TorchTensor* tensor = file.find(name);
  if (tensor == nullptr) throw std::runtime_error("no tensor " + std::string(name));
  return file.floats(*tensor);
}

TEST(TorchFile, ReadsEveryType) {
  const TorchFile file(golden("tensors.pth"));
  for (const char* name : {"f64", "f16", "bf16", "i64", "i32", "i16", "u8"}) {
    EXPECT_THAT(floats_of(file, name), ElementsAre(0, 1, 2)) << name;
    EXPECT_EQ(name_of(file.find(name)->type), name);
  }
  EXPECT_THAT(floats_of(file, "f32"), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(file.find("f32")->shape, (Shape{2, 3}));
  EXPECT_THAT(floats_of(file, "i8"), ElementsAre(0, -1, -2));
  EXPECT_THAT(floats_of(file, "boolean"), ElementsAre(1, 0));
  EXPECT_THAT(floats_of(file, "parameter"), ElementsAre(0, 1));
  EXPECT_THAT(file.integers(*file.find("i64")), ElementsAre(0, 1, 2));
}

TEST(TorchFile, ReadsViewsOfEveryKind) {
  const TorchFile file(golden("tensors.pth"));
  EXPECT_THAT(floats_of(file, "scalar"), ElementsAre(2.5f));
  EXPECT_EQ(file.find("scalar")->shape.rank(), 0);
  EXPECT_THAT(floats_of(file, "empty"), ElementsAre());
  EXPECT_THAT(floats_of(file, "column"), ElementsAre(4, 10, 16, 22));
  EXPECT_THAT(floats_of(file, "window"), ElementsAre(8, 9, 10, 14, 15, 16));
  EXPECT_THAT(floats_of(file, "expanded"), ElementsAre(7, 7, 7, 7, 7, 7));
  EXPECT_EQ(file.find("transposed")->shape, (Shape{6, 4}));
  const std::vector<float> transposed = floats_of(file, "transposed");
  for (std::size_t i = 0; i < transposed.size(); ++i)
    EXPECT_EQ(transposed[i], static_cast<float>(i % 4 * 6 + i / 4));
  EXPECT_EQ(file.find("transposed")->storage, file.find("whole")->storage);
}

class TorchDictTest : public testing::TestWithParam<const char*> {};

TEST_P(TorchDictTest, FindsTheStateDict) {
  const TorchFile file(golden(GetParam()));
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_THAT(floats_of(file, "weight"), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(floats_of(file, "bias"), ElementsAre(0, 1));
}

INSTANTIATE_TEST_SUITE_P(Forms, TorchDictTest,
                         testing::Values("pair.pth", "checkpoint.pth", "state_dict_key.pth",
                                         "model_key.pth", "net_key.pth", "big_endian.pth"));

TEST(TorchFile, NamesWhatItDoesNotTake) {
  EXPECT_THAT(fault_of_file("legacy.pth"), HasSubstr("before PyTorch 1.6"));
  EXPECT_THAT(fault_of_file("script.pth"), HasSubstr("is a TorchScript archive"));
  EXPECT_THAT(fault_of_file("list.pth"), HasSubstr("holds no state dict"));
  EXPECT_THAT(fault_of_file("compressed.pth"), HasSubstr("is compressed"));
  EXPECT_THAT(fault_of_file("../make_torch_files.py"), HasSubstr("is no file of torch.save"));
  for (const char* name : {"legacy.pth", "script.pth", "list.pth", "module.pth"})
    EXPECT_THAT(fault_of_file(name), HasSubstr("torch.save")) << name;
}

TEST(TorchFile, CallsNothing) {
  EXPECT_THAT(fault_of_file("evil.pth"), HasSubstr("asks to call \"posix.system\""));
  EXPECT_THAT(fault_of_file("module.pth"), HasSubstr("asks to call \"torch.nn"));
}

TEST(TorchFile, FindsDamage) {
  EXPECT_THAT(fault_of_file("no_storage.pth"), HasSubstr("has no storage in the file"));
  EXPECT_THAT(fault_of_file("short_storage.pth"), HasSubstr("storage of another size"));
  for (const char* name : {"damaged.pth", "no_crc.pth"}) {
    const std::string fault = fault_of([&] {
      const TorchFile file(golden(name));
      floats_of(file, "weight");
    });
    EXPECT_THAT(fault, HasSubstr("checksum")) << name;
  }
  const std::vector<std::byte> whole = read_file(golden("pair.pth"), 1 << 20);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_THAT(fault_of([&] {
                  TorchFile file("cut.pth", {whole.begin(),
                                             whole.begin() + static_cast<std::ptrdiff_t>(size)});
                }),
                HasSubstr("cut.pth"))
        << size;
}

TEST(TorchModel, RecognisesANetworkBehindDataParallel) {
  TorchFile file(golden("mnist.pth"));
  EXPECT_EQ(recognise_network(file), mnist(10));
  const SafetensorsFile weights = torch_weights(file, mnist(10));
  EXPECT_EQ(weights.entries().size(), 8u);
  EXPECT_EQ(weights.at("fc2.weight", DType::f32, Shape{10, 50}).bytes.size(), 2000u);
  const ModelCard card = torch_card(mnist(10), "mnist.pth");
  EXPECT_EQ(card.normalisation, NormalisationMode::per_image);
  EXPECT_EQ(card.classes.back(), "9");
  EXPECT_EQ(torch_card(lenet(10), "x").classes.back(), "truck");
  EXPECT_THAT(torch_card(resnet18(3), "x").mean, ElementsAre(0.5, 0.5, 0.5));
}

class TorchWriterTest : public TempFolderTest {
 protected:
  // All of a network's tensors under changed names; value i of a tensor is i.
  Path write(const ModelSpec& spec, const auto& rename) {
    std::vector<SafetensorsEntry> entries;
    for (const ParameterLayout& layout : parameter_layouts(spec)) {
      std::vector<float>& values = values_.emplace_back(layout.file_shape.element_count());
      std::iota(values.begin(), values.end(), 0.0f);
      entries.push_back(
          {rename(layout.name), DType::f32, layout.file_shape, std::as_bytes(std::span(values))});
    }
    write_torch_weights(folder() / "net.pth", entries);
    return folder() / "net.pth";
  }
  static std::string replaced(std::string name, const std::string& from, const std::string& to) {
    const std::size_t at = name.find(from);
    return at == name.npos ? name : name.replace(at, from.size(), to);
  }

  std::deque<std::vector<float>> values_;
};

TEST_F(TorchWriterTest, WritesTheSameBytesThatItReads) {
  const Path path = write(lenet(7), [](const std::string& name) { return "module." + name; });
  const std::vector<std::byte> first = read_file(path, 1 << 20);
  TorchFile file(path);
  EXPECT_EQ(recognise_network(file), lenet(7));
  EXPECT_EQ(file.floats(*file.find("fc3.bias")), (std::vector<float>{0, 1, 2, 3, 4, 5, 6}));
  write(lenet(7), [](const std::string& name) { return "module." + name; });
  EXPECT_EQ(read_file(path, 1 << 20), first);
}

TEST_F(TorchWriterTest, TorchvisionsNamesOfAResNet) {
  TorchFile file(write(resnet18(5), [](const std::string& name) {
    return replaced(replaced(name, ".shortcut.", ".downsample."), "linear.", "fc.");
  }));
  EXPECT_EQ(recognise_network(file), resnet18(5));
  EXPECT_NE(file.find("layer2.0.shortcut.0.weight"), nullptr);
}

TEST_F(TorchWriterTest, SaysWhatANearNetworkLacks) {
  TorchFile other(write(
      lenet(), [](const std::string& name) { return replaced(name, "fc1.bias", "fc9.bias"); }));
  EXPECT_THAT(fault_of([&] { recognise_network(other); }),
              HasSubstr("is nearly lenet, but it lacks fc1.bias"));
  EXPECT_THAT(fault_of([&] { torch_weights(other, lenet()); }), HasSubstr("holds fc9.bias"));
  TorchFile foreign(golden("pair.pth"));
  EXPECT_THAT(fault_of([&] { recognise_network(foreign); }), HasSubstr("--model SPEC.json"));
  TorchFile mnist_file(golden("mnist.pth"));
  EXPECT_THAT(fault_of([&] { torch_weights(mnist_file, lenet()); }), HasSubstr("conv1.weight"));
}

TEST_F(TorchWriterTest, AFolderWithOneFileIsAModel) {
  write(lenet(), [](const std::string& name) { return name; });
  std::filesystem::create_directories(folder() / "code");
  std::ofstream(folder() / "model.tar.gz") << "x";
  EXPECT_TRUE(is_torch_directory(folder()));
  EXPECT_EQ(read_model_description(folder()).spec, lenet());
  EXPECT_EQ(read_weights(folder(), lenet()).entries().size(), 10u);
  std::ofstream(folder() / "other.pt") << "x";
  EXPECT_THAT(fault_of([&] { read_model_description(folder()); }),
              HasSubstr("holds several models: net.pth and other.pt"));
  // Weights of kiln's that wait for their card.
  std::ofstream(folder() / "model.safetensors") << "x";
  EXPECT_FALSE(is_torch_directory(folder()));
}

}  // namespace
}  // namespace kiln
