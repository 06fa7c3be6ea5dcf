#include "engine/comm/communicator.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace kiln {
namespace {

class SingleCommunicator final : public Communicator {
 public:
  SingleCommunicator() : Communicator(0, 1) {}
  std::string description() const override { return "1 rank"; }
  void barrier() override {}
  void abandon(std::string_view) noexcept override {}

 protected:
  void do_all_reduce(const comm::Elements&) override {}
  int do_start_all_reduce(const comm::Elements&) override { return 0; }
  bool do_test(int) override { return true; }
  void do_wait(int) override {}
  void do_broadcast(const comm::Elements&, int) override {}
  void do_all_to_all(const comm::Elements& mine, void* theirs) override {
    do_all_gather(mine, theirs);
  }
  void do_all_gather(const comm::Elements& mine, void* all) override {
    if (mine.count > 0)
      std::memcpy(all, mine.data, static_cast<std::size_t>(mine.count) * size_of(mine.type));
  }
};

}  // namespace

bool Reduction::test() {
  if (communicator_ == nullptr) return true;
  if (!communicator_->do_test(slot_)) return false;
  communicator_ = nullptr;
  return true;
}

void Reduction::wait() {
  if (communicator_ == nullptr) return;
  std::exchange(communicator_, nullptr)->do_wait(slot_);
}

std::unique_ptr<Communicator> make_single_communicator() {
  return std::make_unique<SingleCommunicator>();
}

std::vector<std::string> all_gather_text(Communicator& communicator, const std::string& mine) {
  const auto ranks = static_cast<std::size_t>(communicator.size());
  const std::int64_t length[] = {static_cast<std::int64_t>(mine.size())};
  std::vector<std::int64_t> lengths(ranks);
  communicator.all_gather<std::int64_t>(length, lengths);
  const auto longest = static_cast<std::size_t>(std::ranges::max(lengths));
  std::string padded = mine;
  padded.resize(longest);
  std::string all(longest * ranks, '\0');
  if (longest > 0) communicator.all_gather<char>(padded, all);
  std::vector<std::string> texts;
  for (std::size_t r = 0; r < ranks; ++r)
    texts.push_back(all.substr(r * longest, static_cast<std::size_t>(lengths[r])));
  return texts;
}

}  // namespace kiln
