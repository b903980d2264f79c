#include "exec/notes.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <utility>

namespace runner::exec {
namespace {

/// Hands a note to the method of ExecutorEvents that is meant for it.
struct Teller {
  ExecutorEvents& events;
  void operator()(StartedNote& note) const { events.started(note.id, note.pid, note.at, note.log); }
  void operator()(FinishedNote& note) const { events.finished(note.id, std::move(note.ending)); }
  void operator()(FollowedNote& note) const { events.followed(note.id, std::move(note.ending), note.next); }
  void operator()(BackpressureNote& note) const { events.backpressure(note.reason); }
  void operator()(LogsFailedNote& note) const { events.logs_failed(note.reason); }
  void operator()(HeldNote& note) const { events.held(note.held); }
  void operator()(ReportedNote& note) const { events.reported(note.id, note.report); }
};

}  // namespace

struct Notes::Impl {
  boost::asio::io_context& io;
  ExecutorEvents& events;
  std::vector<Note> notes{};
  std::size_t next = 0;  ///< of notes: those before it were delivered
  bool posted = false;

  void deliver() {
    posted = false;
    // Callbacks launch, and so add more; one that delivers leaves nothing of what there is now.
    for (const std::size_t end = notes.size(); next < end && next < notes.size();) {
      Note note = std::move(notes[next++]);
      std::visit(Teller{events}, note);
    }
    if (next < notes.size()) return;
    notes.clear();
    next = 0;
  }
};

Notes::Notes(boost::asio::io_context& io, ExecutorEvents& events) : impl_(std::make_shared<Impl>(Impl{io, events})) {}

void Notes::add(Note note) {
  impl_->notes.push_back(std::move(note));
  if (std::exchange(impl_->posted, true)) return;
  boost::asio::post(impl_->io, [weak = std::weak_ptr(impl_)] {
    if (const auto impl = weak.lock()) impl->deliver();
  });
}

void Notes::deliver() {
  impl_->deliver();
}

}  // namespace runner::exec
