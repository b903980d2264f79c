// SlotLog: the file that the attempts of one slot write their output to, one after the other. It gets the log's name
// only once something is in it, so a slice that writes nothing costs no file: what it leaves empty is for the next
// attempt. Until then it is a draft, named after its first attempt, and renamed when the record may have that name for
// another: who reads the name in the record never gets another slice's output (a rename for each is 3% of /bin/true).
// Owned by the local executor; one attempt at a time: open(), begin(), then end(); between attempts it holds no
// descriptor. Never overwrites or drops output that it was not told to drop, never gives an attempt a file that a
// process of an earlier one still has open.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/attempt.hpp"
#include "util/fd.hpp"

namespace runner::exec {

class SlotLog {
 public:
  /// Paths given and returned are relative to `run_dir`.
  SlotLog(std::string run_dir, std::uint32_t slot) : run_dir_(std::move(run_dir)), slot_(slot) {}
  /// Removes the file if it is empty.
  ~SlotLog();
  SlotLog(const SlotLog&) = delete;
  SlotLog& operator=(const SlotLog&) = delete;
  SlotLog(SlotLog&& other) noexcept = default;
  SlotLog& operator=(SlotLog&&) = delete;

  /// The descriptor for the attempt's stdout and stderr (O_APPEND); makes the file if there is none. `new_name`: a
  /// reader may look for the attempt before by the draft's name. Never makes the run directory: where that is gone, so
  /// is the record.
  util::Result<int> open(const core::AttemptId& id, bool new_name);
  [[nodiscard]] bool is_open() const { return fd_.is_open(); }
  /// There is no attempt after all.
  void close() { fd_.reset(); }
  /// An attempt starts; what it writes beyond `limit` bytes is dropped.
  void begin(std::optional<std::uint64_t> limit);

  /// Writes for the attempt (its output came through a pipe), up to the limit.
  void append(std::string_view piece);
  /// Cuts the file back to the limit if the attempt has written past it; to be called now and then while it runs.
  void enforce_limit();

  /// The attempt has ended. Gives the file the name `target`, or target.1 ... if that exists; returns the file its
  /// output is in, "" if it wrote nothing. Where renaming fails the file stays a draft and is not used again.
  /// `others_may_write`: processes of the attempt may still have the file open; it is not used for another attempt.
  std::string end(const std::string& target, bool others_may_write = false);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool has_limit() const { return limit_.has_value(); }
  /// Why output is lost - append() could not write it, or somebody removed the file - for people; "" if all is well.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  [[nodiscard]] std::string absolute(const std::string& path) const { return run_dir_ + "/" + path; }
  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] std::string draft_of(const core::AttemptId& id, unsigned copy) const;
  util::Result<bool> take_over(const std::string& draft);
  [[nodiscard]] bool is_taken(int fd) const;
  void note_limit();

  std::string run_dir_;
  std::uint32_t slot_;
  util::Fd fd_;
  std::string path_;  ///< "" before the first attempt, and when the file has been given away
  std::optional<std::uint64_t> limit_;
  std::uint64_t written_ = 0;  ///< by append()
  std::uint64_t dropped_ = 0;
  std::string problem_;
};

}  // namespace runner::exec
