// Choices that were timed once, kept on the disk: one small file for each question, so that
// programs that run at the same time never write the same file for different questions.
//
//   $KILN_CACHE_DIR/plans/<hash of the key>.txt
//
//   kiln plan 1
//   cuDNN 91900, NVIDIA H200 9.0, forward+bias,bf16,...   (the key: all that the choice depends on)
//   eng34_k2=5                                            (the choice)
//   end
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/core/file.h"
#include "engine/core/log.h"

namespace kiln {

// $KILN_CACHE_DIR, else $XDG_CACHE_HOME/kiln, else $HOME/.cache/kiln; nothing where none is set.
// $XDG_CACHE_HOME counts only if it is absolute, as its specification has it.
std::optional<Path> cache_folder(const std::function<const char*(const char*)>& variable);

class PlanCache {
 public:
  // Nothing is made before the first `keep`. `log` must outlive the cache.
  PlanCache(std::optional<Path> folder, Log& log);

  // Nothing where there is no file. A file that is damaged or answers another question is nothing
  // too, and a line of the log says so.
  std::optional<std::string> find(const std::string& key);

  // Keeps the choice and returns the one that holds from now on: if another program kept one first,
  // that one. Nothing, with a line in the log, where it cannot be kept. No line end in either text.
  std::optional<std::string> keep(const std::string& key, const std::string& choice);
  // For a choice that is none any more.
  void forget(const std::string& key);

 private:
  Path path_of(const std::string& key) const;

  std::optional<Path> folder_;
  Log* log_;
};

}  // namespace kiln
