#include "spec/jobs_reader.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "spec/hooks_reader.hpp"
#include "spec/job_rules.hpp"
#include "spec/limits.hpp"
#include "util/text.hpp"

namespace runner::spec {
namespace {

constexpr std::int64_t kMaxPriority = 1'000'000;

/// A need as it is written.
struct WrittenNeed {
  const Node* node = nullptr;
  core::Need need;
};

class JobsReader {
 public:
  JobsReader(const Node& root, const JobContext& context, Reader& reader)
      : root_(root), map_(*root.find("jobs")), context_(context), reader_(reader) {}

  std::vector<core::JobSpec> read() {
    if (!reader_.is_map(map_, "jobs", "{prepare: {command: ...}, analyse: {command: ..., needs: [prepare]}}"))
      return {};
    if (!reader_.is_within(map_, "jobs", kMaxJobs)) return {};
    if (map_.keys.empty()) reader_.error(map_, "`jobs` is empty: name at least one job");
    for (std::uint32_t j = 0; j < map_.keys.size(); ++j) read_one(j);
    if (jobs_.size() != map_.keys.size()) return std::move(jobs_);
    for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
      for (const WrittenNeed& need : written_[j]) jobs_[j].needs.push_back(need.need);
    }
    refuse_cycles();
    compare_lists();
    return std::move(jobs_);
  }

 private:
  void read_one(std::uint32_t j) {
    const Node& key = map_.keys[j];
    if (const std::string wrong = wrong_name(key.value); !wrong.empty())
      reader_.error(key, "the name of a job " + wrong);
    static const std::vector<std::string> known = [] {
      std::vector<std::string> keys = job_keys();
      keys.insert(keys.end(), keys_of_several_jobs().begin(), keys_of_several_jobs().end());
      keys.insert(keys.end(), hook_keys().begin(), hook_keys().end());
      return keys;
    }();
    const Node& own = map_.items[j];
    const std::string label = "jobs." + key.value;
    if (!reader_.is_map(own, label, "{command: \"./analyse {slice}\"}")) return;
    reader_.check_keys(own, label, known);
    JobContext context = context_;
    context.name = key.value;
    jobs_.push_back(read_job(JobMap(own, &root_), context, reader_));
    written_.emplace_back();
    read_own_keys(own, jobs_.back(), written_.back());
  }

  void read_own_keys(const Node& own, core::JobSpec& job, std::vector<WrittenNeed>& needs) {
    read_needs(own, "needs", false, job.name, needs);
    read_needs(own, "needs_each", true, job.name, needs);
    if (const Node* node = own.find("allow_failures")) {
      job.allow_failures = read_failure_limit(*node, "allow_failures", reader_);
    }
    if (const Node* node = own.find("n_procs")) {
      if (const auto n = reader_.integer(*node, "n_procs", {1, kMaxProcs}))
        job.n_procs = static_cast<std::uint32_t>(*n);
    }
    if (const Node* node = own.find("priority")) {
      if (const auto n = reader_.integer(*node, "priority", {-kMaxPriority, kMaxPriority}))
        job.priority = static_cast<int>(*n);
    }
  }

  /// A job's name, or a list of them.
  void read_needs(const Node& own, const std::string& key, bool each, const std::string& self,
                  std::vector<WrittenNeed>& needs) {
    const Node* node = own.find(key);
    if (node == nullptr) return;
    if (node->kind == Node::Kind::scalar) return read_need(*node, key, each, self, needs);
    if (!reader_.is_list(*node, key, "[prepare]")) return;
    for (const Node& item : node->items) read_need(item, key, each, self, needs);
  }

  void read_need(const Node& node, const std::string& key, bool each, const std::string& self,
                 std::vector<WrittenNeed>& needs) {
    const auto name = reader_.text(node, key);
    if (!name) return;
    std::vector<std::string> names;
    for (const Node& job : map_.keys) names.push_back(job.value);
    const auto found = std::find(names.begin(), names.end(), *name);
    const Node* services = root_.find("services");
    if (found == names.end() && services != nullptr && services->find(*name) != nullptr) {
      return reader_.error(node, quoted(key) + " names the service `" + util::escape_for_display(*name, 60) +
                                     "`: every job needs every service as it is; leave it out");
    }
    if (found == names.end()) {
      const auto nearest = util::closest(*name, names);
      return reader_.error(node, quoted(key) + " names `" + util::escape_for_display(*name, 60) +
                                     "`, but there is no such job" +
                                     (nearest ? "; did you mean `" + *nearest + "`?" : ""));
    }
    if (*name == self) return reader_.error(node, quoted(key) + ": a job cannot need itself");
    const auto job = static_cast<std::uint32_t>(found - names.begin());
    if (std::ranges::any_of(needs, [job](const WrittenNeed& other) { return other.need.job == job; }))
      return reader_.error(node, quoted(key) + " names `" + *name + "`, which is needed already");
    needs.push_back({&node, {.job = job, .after = each ? core::Need::After::each : core::Need::After::completed}});
  }

  /// Depth first; the first need that leads back to a job on the way is where the cycle is reported.
  void refuse_cycles() {
    enum class Mark : std::uint8_t { unseen, on_the_way, done };
    std::vector<Mark> marks(jobs_.size(), Mark::unseen);
    std::vector<std::uint32_t> way;
    const auto visit = [&](const auto& self, std::uint32_t j) -> void {
      marks[j] = Mark::on_the_way;
      way.push_back(j);
      for (const WrittenNeed& need : written_[j]) {
        const std::uint32_t next = need.need.job;
        if (marks[next] == Mark::unseen) {
          self(self, next);
        } else if (marks[next] == Mark::on_the_way) {
          std::string circle;
          for (auto it = std::find(way.begin(), way.end(), next); it != way.end(); ++it)
            circle += jobs_[*it].name + " needs ";
          reader_.error(*need.node, "a circle: " + circle + jobs_[next].name);
        }
      }
      way.pop_back();
      marks[j] = Mark::done;
    };
    for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
      if (marks[j] == Mark::unseen) visit(visit, j);
    }
  }

  /// Slice by slice is only possible where there are as many of each.
  void compare_lists() {
    if (!reader_.problems().empty()) return;  // a list that could not be read has another size
    for (std::uint32_t j = 0; j < jobs_.size(); ++j) {
      for (const WrittenNeed& need : written_[j]) {
        const core::JobSpec& other = jobs_[need.need.job];
        if (need.need.after != core::Need::After::each || other.slices.size() == jobs_[j].slices.size()) continue;
        reader_.error(*need.node, "`needs_each` goes slice by slice, but " + jobs_[j].name + " has " +
                                      util::format_count(jobs_[j].slices.size()) + " and " + other.name + " " +
                                      util::format_count(other.slices.size()) + "; for all of them: needs");
      }
    }
  }

  const Node& root_;
  const Node& map_;
  const JobContext& context_;
  Reader& reader_;
  std::vector<core::JobSpec> jobs_;
  std::vector<std::vector<WrittenNeed>> written_;  ///< by job
};

}  // namespace

const std::vector<std::string>& keys_of_several_jobs() {
  static const std::vector<std::string> keys = {"needs", "needs_each", "allow_failures", "priority", "n_procs"};
  return keys;
}

std::string wrong_name(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > kMaxNameBytes) return "is longer than " + std::to_string(kMaxNameBytes) + " bytes";
  const auto is_good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || static_cast<unsigned char>(c) >= 0x80;
  };
  if (!std::all_of(name.begin(), name.end(), is_good)) return "may have letters, digits, `_`, `-` and `.` only";
  if (name[0] == '.' || name[0] == '-') return "cannot begin with `" + std::string(name.substr(0, 1)) + "`";
  return "";
}

std::vector<core::JobSpec> read_jobs(const Node& root, const JobContext& context, Reader& reader) {
  return JobsReader(root, context, reader).read();
}

}  // namespace runner::spec
