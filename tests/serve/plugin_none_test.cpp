// Linked with the source of a build that has no plug-ins.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "engine/serve/plugin_loader.h"

namespace kiln::serve {
namespace {

TEST(PluginNone, AModelWithAPluginIsRefusedByName) {
  EXPECT_FALSE(has_plugins());
  for (const bool allow : {false, true}) {
    try {
      load_plugin("folder", "libx.so", {}, allow);
      FAIL() << "loaded";
    } catch (const Error& fault) {
      EXPECT_THAT(fault.what(), testing::HasSubstr("names the plug-in libx.so, and this build of "
                                                   "kiln has no plug-ins"));
    }
  }
}

}  // namespace
}  // namespace kiln::serve
