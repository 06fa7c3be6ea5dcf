// OutputFolder: a folder that appears whole under its name, or not at all.
#pragma once

#include <span>
#include <string_view>

#include "engine/core/file.h"

namespace kiln {

class OutputFolder {
 public:
  // Makes a temporary folder beside `target`, named ".NAME.kiln-XXXXXX", and removes those that
  // killed processes left there for the same target. Throws Error (usage) when `target` exists and
  // is no empty folder, Error (io) when nothing can be made there.
  explicit OutputFolder(const Path& target);
  // Removes the temporary folder unless it was committed.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  // Where to write.
  const Path& path() const { return temporary_; }
  // A new file in it; parents must exist. Not synced on its own. Throws Error (io).
  void write(const Path& name, std::span<const std::byte> bytes) const;
  void write(const Path& name, std::string_view text) const;
  // Brings everything to the disk and gives the folder its name.
  void commit();

 private:
  Path target_;
  Path temporary_;
  UniqueFd alive_;  // locked while this process lives: how others tell that it does
  bool committed_ = false;
};

}  // namespace kiln
