#include "store/file_system.hpp"

#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

namespace runner::store {

std::optional<std::string_view> shared_file_system(std::uint32_t magic) {
  // From linux/magic.h, statfs(2), and for the ones outside of the kernel their own sources (Lustre, GPFS, BeeGFS).
  constexpr std::array<std::pair<std::uint32_t, std::string_view>, 12> kShared = {{
      {0x6969, "NFS"},
      {0x0BD00BD0, "Lustre"},
      {0x47504653, "GPFS"},
      {0xFF534D42, "CIFS"},
      {0x517B, "SMB"},
      {0xFE534D42, "SMB2"},
      {0x65735546, "FUSE"},
      {0x19830326, "BeeGFS"},
      {0x00C36400, "Ceph"},
      {0x20030528, "OrangeFS"},
      {0x5346414F, "AFS"},
      {0x01021997, "9P"},
  }};
  for (const auto& [known, name] : kShared) {
    if (known == magic) return name;
  }
  return std::nullopt;
}

util::Result<std::optional<std::string_view>> shared_file_system_of(const std::string& path) {
  struct statfs info {};
  int result = -1;
  do {
    result = ::statfs(path.c_str(), &info);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return util::errno_error(path, errno);
  // f_type is signed on some architectures: CIFS' number would come out negative.
  return shared_file_system(static_cast<std::uint32_t>(info.f_type));
}

}  // namespace runner::store
