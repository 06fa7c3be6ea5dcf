#include "engine/payload/model_name.h"

#include <gtest/gtest.h>
#include <string>

namespace kiln::payload {
namespace {

TEST(ModelName, LettersDigitsDotsLinesAndHyphensAreTaken) {
  for (const std::string name : {"a", "7", "Lenet-5_v1.2", "resnet18.cifar10"})
    EXPECT_TRUE(valid_model_name(name)) << name;
  EXPECT_TRUE(valid_model_name(std::string(64, 'x')));
}

TEST(ModelName, WhatCouldLeaveAFolderOrBreakALineIsNone) {
  for (const std::string name : {"", ".", "..", ".hidden", "-flag", "_x", "a/b", "a\\b", "a b",
                                 "a\n", "a%2e", "\xC3\xA9", "a:b"})
    EXPECT_FALSE(valid_model_name(name)) << name;
  EXPECT_FALSE(valid_model_name(std::string("a\0b", 3)));
  EXPECT_FALSE(valid_model_name(std::string(65, 'x')));
}

}  // namespace
}  // namespace kiln::payload
