// Semaphore: at most so many holders of a name at once on this machine, without anybody who keeps count. One file; a
// slot is a lock on one of its bytes, owned by the open file description, so the kernel gives it back when the last
// process that has the descriptor is gone, however it went. Who waits stands in a queue: all but the first sleep on the
// lock of one more byte, which kernels since 5.0 hand on in order; the first looks for a slot every few milliseconds.
//
// Over NFS locks work as well, but between hosts the order is the server's, and a host that crashes holds its slots
// until the server notices. A process that is stopped (SIGSTOP) keeps its slot, or its place in the queue.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "util/clock.hpp"
#include "util/fd.hpp"

namespace runner::shared {

inline constexpr std::uint32_t kMaxSlots = 1000;

/// Letters, digits, '_', '-' and '.', beginning with a letter, digit or '_', at most 64: also a file name.
[[nodiscard]] bool is_semaphore_name(std::string_view name);

/// A slot that is held as long as this lives.
class Semaphore {
 public:
  /// Waits for a slot, for ever without a timeout. `directory` is made (0700) where it is not there. Errors: ETIMEDOUT;
  /// EBUSY, those who are inside or wait now have agreed on another number of slots.
  static util::Result<Semaphore> take(const std::string& directory, const std::string& name, std::uint32_t slots,
                                      std::optional<util::Duration> timeout);
  ~Semaphore() { give_back(); }
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  Semaphore(Semaphore&&) = default;
  Semaphore& operator=(Semaphore&&) = delete;

  [[nodiscard]] std::uint32_t slot() const { return slot_; }  ///< 0 to slots - 1
  /// Who inherits this holds the slot too, until give_back() here, or until all who have it are gone.
  [[nodiscard]] int descriptor() const { return file_.get(); }
  /// For all who have the descriptor. Once is enough.
  void give_back();

 private:
  Semaphore(util::Fd file, std::uint32_t slot) : file_(std::move(file)), slot_(slot) {}

  util::Fd file_;
  std::uint32_t slot_ = 0;
};

}  // namespace runner::shared
