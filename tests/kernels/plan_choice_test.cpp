// The choice among a library's plans and the file that keeps it, with a timer that is made up.
#include "kernels/common/plan_choice.h"

#include <csignal>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <sys/resource.h>
#include <thread>

#include "engine/core/error.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kKey = "library 1, device 9.0, forward,bf16";
const std::vector<std::string> kNames{"a", "b", "c", "d"};

// Times by name; a name without one cannot be prepared.
class FakeLibrary {
 public:
  explicit FakeLibrary(std::map<std::string, std::vector<double>> times)
      : times_(std::move(times)) {}
  PlanTrials trials() {
    return {.prepare =
                [this](int candidate) {
                  prepared.push_back(name(candidate));
                  return times_.contains(name(candidate));
                },
            .run_us =
                [this](int candidate) {
                  ++run_count;
                  const auto& times = times_.at(name(candidate));
                  if (times.empty()) throw Error(ErrorKind::io, "fake", "does not run");
                  return times[static_cast<std::size_t>(next_[candidate]++) % times.size()];
                }};
  }
  std::vector<std::string> prepared;
  int run_count = 0;

 private:
  static const std::string& name(int candidate) {
    return kNames.at(static_cast<std::size_t>(candidate));
  }
  std::map<std::string, std::vector<double>> times_;
  std::map<int, int> next_;
};

class PlanChoiceTest : public TempFolderTest {
 protected:
  PlanChoiceTest() : file_(std::tmpfile()), log_(file_), quiet_(file_, LogLevel::quiet) {}
  ~PlanChoiceTest() override { std::fclose(file_); }

  std::string logged() const {
    std::string all(static_cast<std::size_t>(std::ftell(file_)), '\0');
    std::rewind(file_);
    all.resize(std::fread(all.data(), 1, all.size(), file_));
    return all;
  }
  PlanCache cache() { return PlanCache(folder(), log_); }
  std::optional<PlanChoice> choose(FakeLibrary& library, const TuningRule& rule = {}) {
    PlanCache kept = cache();
    return choose_plan(kKey, kNames, library.trials(), &kept, log_, rule);
  }
  // Nothing but what has its final name.
  std::vector<Path> files() const {
    std::vector<Path> found;
    if (!std::filesystem::exists(folder() / "plans")) return found;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / "plans"))
      found.push_back(entry.path());
    return found;
  }

  std::FILE* file_;
  Log log_, quiet_;
};

TEST_F(PlanChoiceTest, WithoutACacheTheFirstThatWorksIsTakenAndNothingIsTimed) {
  FakeLibrary library({{"b", {9}}, {"c", {1}}});
  const auto choice = choose_plan(kKey, kNames, library.trials(), nullptr, log_);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->candidate, 1);
  EXPECT_EQ(choice->source, ChoiceSource::heuristic);
  EXPECT_EQ(library.run_count, 0);
  EXPECT_THAT(library.prepared, ElementsAre("a", "b"));
}

TEST_F(PlanChoiceTest, TheSmallestMedianWinsAndIsFoundAgain) {
  // The mean of c is the largest and its least time that of nobody: only the median says c.
  FakeLibrary library({{"a", {5}}, {"b", {3, 1, 4}}, {"c", {2, 2, 2, 2, 90, 90, 2}}, {"d", {4}}});
  const auto first = choose(library, {.warm_ups = 0, .runs = 7});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->candidate, 2);
  EXPECT_EQ(first->source, ChoiceSource::autotuned);
  EXPECT_EQ(first->median_us, 2);
  FakeLibrary later({{"a", {1}}, {"b", {1}}, {"c", {9}}, {"d", {1}}});
  const auto second = choose(later);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->candidate, 2);
  EXPECT_EQ(second->source, ChoiceSource::cached);
  EXPECT_EQ(later.run_count, 0);
  EXPECT_THAT(later.prepared, ElementsAre("c"));
  EXPECT_EQ(files().size(), 1u);
}

TEST_F(PlanChoiceTest, WarmUpsDoNotCount) {
  FakeLibrary library({{"a", {100, 100, 1}}, {"b", {2}}});
  EXPECT_EQ(choose(library, {.warm_ups = 2, .runs = 1})->candidate, 0);
}

TEST_F(PlanChoiceTest, EqualTimesLeaveTheHeuristicsOrder) {
  FakeLibrary library({{"a", {3}}, {"b", {3}}, {"c", {3}}});
  EXPECT_EQ(choose(library)->candidate, 0);
}

TEST_F(PlanChoiceTest, OnlyTheFirstFewThatWorkAreTimed) {
  FakeLibrary library({{"b", {3}}, {"c", {2}}, {"d", {1}}});
  EXPECT_EQ(choose(library, {.most_candidates = 2})->candidate, 2);
  EXPECT_THAT(library.prepared, ElementsAre("a", "b", "c"));
}

TEST_F(PlanChoiceTest, APlanThatDoesNotRunIsLeftOutAndALineSaysSo) {
  FakeLibrary library({{"a", {}}, {"b", {3}}, {"c", {2}}});
  EXPECT_EQ(choose(library)->candidate, 2);
  EXPECT_THAT(logged(), HasSubstr("a is left out: fake: does not run"));
}

TEST_F(PlanChoiceTest, WhereNothingCanBeTimedTheOrderDecides) {
  FakeLibrary library({{"a", {}}, {"b", {}}});
  const auto choice = choose(library);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->candidate, 0);
  EXPECT_EQ(choice->source, ChoiceSource::heuristic);
  EXPECT_THAT(files(), IsEmpty());
  FakeLibrary nothing({});
  EXPECT_FALSE(choose(nothing));
}

TEST_F(PlanChoiceTest, ADamagedOrForeignFileIsOneLineAndIsReplaced) {
  FakeLibrary library({{"a", {3}}, {"b", {2}}});
  choose(library);
  ASSERT_EQ(files().size(), 1u);
  const Path path = files().front();
  const std::string whole = read_text_file(path, 4096);
  const std::string foreign = "kiln plan 1\nanother key\na\nend\n";
  const std::string two_lines = "kiln plan 1\n" + kKey + "\na\nb\nend\n";
  for (const std::string& bad : {std::string(), whole.substr(0, whole.size() / 2), foreign,
                                 two_lines, std::string(5000, 'x'), std::string(100, '\0')}) {
    write_file_atomic(path, bad);
    EXPECT_FALSE(cache().find(kKey)) << bad;
    FakeLibrary again({{"a", {1}}, {"b", {2}}});
    const auto choice = choose(again);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->candidate, 0);
    EXPECT_EQ(choice->source, ChoiceSource::autotuned);
    EXPECT_EQ(cache().find(kKey), "a");
  }
  EXPECT_EQ(files().size(), 1u);
  const std::string text = logged();
  EXPECT_THAT(text, HasSubstr("is damaged or of another problem, it is ignored"));
}

TEST_F(PlanChoiceTest, AKeptChoiceThatIsNoCandidateAnyMoreIsReplaced) {
  ASSERT_EQ(cache().keep(kKey, "of an older library"), "of an older library");
  FakeLibrary library({{"a", {3}}, {"b", {2}}});
  const auto choice = choose(library);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->candidate, 1);
  EXPECT_EQ(choice->source, ChoiceSource::autotuned);
  EXPECT_EQ(cache().find(kKey), "b");
  EXPECT_THAT(logged(), HasSubstr("of an older library is none of today's"));
}

// What cannot be kept might be chosen otherwise by the next run, with other bits.
TEST_F(PlanChoiceTest, WithoutAPlaceToKeepItTheOrderDecides) {
  FakeLibrary library({{"a", {3}}, {"b", {2}}});
  PlanCache nowhere(std::nullopt, log_);
  const auto choice = choose_plan(kKey, kNames, library.trials(), &nowhere, log_);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->candidate, 0);
  EXPECT_EQ(choice->source, ChoiceSource::heuristic);
  EXPECT_THAT(logged(), HasSubstr("choices are not kept"));
}

// A limit on the size of files stands for a full disk: write() fails. In a process of its own.
TEST_F(PlanChoiceTest, AFullDiskLeavesNoFileAndTheOrderDecides) {
  const auto choose_on_a_full_disk = [this] {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit small{};
    small.rlim_cur = small.rlim_max = 8;
    if (::setrlimit(RLIMIT_FSIZE, &small) != 0) std::_Exit(1);
    FakeLibrary library({{"a", {3}}, {"b", {2}}});
    const auto choice = choose(library);
    const bool first = choice && choice->candidate == 0 &&
                       choice->source == ChoiceSource::heuristic && library.run_count > 0;
    std::_Exit(first ? 7 : 2);
  };
  EXPECT_EXIT(choose_on_a_full_disk(), testing::ExitedWithCode(7), "");
  EXPECT_TRUE(std::filesystem::exists(folder() / "plans"));
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(PlanChoiceTest, AFileInTheFoldersPlaceIsOneLine) {
  write_file_atomic(folder() / "plans", "no folder");
  EXPECT_FALSE(cache().keep(kKey, "a"));
  EXPECT_THAT(logged(), HasSubstr("a choice is not kept: "));
}

// Each writer would choose differently; all must end with one choice, and it must be the kept one.
TEST_F(PlanChoiceTest, WritersAtTheSameTimeAgree) {
  constexpr int kWriters = 8, kRounds = 40;
  for (int round = 0; round < kRounds; ++round) {
    const std::string key = kKey + std::to_string(round);
    std::vector<std::string> got(kWriters);
    {
      std::vector<std::jthread> writers;
      for (int writer = 0; writer < kWriters; ++writer)
        writers.emplace_back([&, writer] {
          PlanCache own(folder(), quiet_);
          got[static_cast<std::size_t>(writer)] =
              own.keep(key, "choice " + std::to_string(writer)).value_or("none");
        });
    }
    const std::set<std::string> different(got.begin(), got.end());
    ASSERT_EQ(different.size(), 1u);
    EXPECT_EQ(cache().find(key), *different.begin());
  }
  EXPECT_EQ(files().size(), static_cast<std::size_t>(kRounds)) << "temporary files stayed";
}

TEST(CacheFolder, FollowsTheEnvironment) {
  std::map<std::string, std::string> set;
  const auto variable = [&](const char* name) {
    const auto at = set.find(name);
    return at == set.end() ? nullptr : at->second.c_str();
  };
  EXPECT_EQ(cache_folder(variable), std::nullopt);
  set["HOME"] = "/home/k";
  EXPECT_EQ(cache_folder(variable), Path("/home/k/.cache/kiln"));
  set["XDG_CACHE_HOME"] = "not/absolute";
  EXPECT_EQ(cache_folder(variable), Path("/home/k/.cache/kiln"));
  set["XDG_CACHE_HOME"] = "/x";
  EXPECT_EQ(cache_folder(variable), Path("/x/kiln"));
  set["KILN_CACHE_DIR"] = "/own";
  EXPECT_EQ(cache_folder(variable), Path("/own"));
}

}  // namespace
}  // namespace kiln
