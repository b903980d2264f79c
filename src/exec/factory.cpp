#include "exec/factory.hpp"

#include <array>

#include "exec/local.hpp"

namespace runner::exec {
namespace {

using Make = std::unique_ptr<Executor> (*)(boost::asio::io_context&, ExecutorEvents&, const ExecutorOptions&);
struct Entry {
  std::string_view name;
  Make make;
};

template <class T>
std::unique_ptr<Executor> make(boost::asio::io_context& io, ExecutorEvents& events, const ExecutorOptions& options) {
  return std::make_unique<T>(io, events, options);
}

constexpr std::array kExecutors = {Entry{"local", &make<LocalExecutor>}};

}  // namespace

util::Result<std::unique_ptr<Executor>> make_executor(std::string_view name, boost::asio::io_context& io,
                                                      ExecutorEvents& events, const ExecutorOptions& options) {
  std::string known;
  for (const auto& entry : kExecutors) {
    if (entry.name == name) return entry.make(io, events, options);
    known += known.empty() ? "" : ", ";
    known += entry.name;
  }
  return util::Error{"no executor '" + std::string(name) + "'; there are: " + known};
}

std::vector<std::string_view> executor_names() {
  std::vector<std::string_view> names;
  names.reserve(kExecutors.size());
  for (const auto& entry : kExecutors) names.push_back(entry.name);
  return names;
}

}  // namespace runner::exec
