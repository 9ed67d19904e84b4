// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/fence_ledger.h"

#include <rados/librados.h>

#include <cerrno>
#include <condition_variable>
#include <utility>

#include "common/mutex.h"
#include "common/quote.h"
#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/ceph/notify.h"
#include "rbd_handler/messages/lock.h"

namespace tcmurbd::ceph {
namespace {

constexpr const char* kChanged = "tcmu-rbd-fenced/1";
constexpr std::chrono::milliseconds kPatience{1000};
// The control client's ops end after 10 s.
constexpr std::chrono::seconds kEndMax{11};
// One read returns all entries; more are not valid.
constexpr uint64_t kPairsMax = 1024;

int64_t wall_clock() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// In the form that librados needs.
struct Keys {
  explicit Keys(const std::vector<std::string>& keys) {
    for (const std::string& key : keys) {
      chars.push_back(key.data());
      lengths.push_back(key.size());
    }
  }
  std::vector<const char*> chars;
  std::vector<size_t> lengths;
};

using Ended = std::function<void(int result)>;

void on_ended(rados_completion_t completion, void* argument) {
  const std::unique_ptr<Ended> ended(static_cast<Ended*>(argument));
  (*ended)(rados_aio_get_return_value(completion));
}

// `start` gets a completion that calls `ended`. If it fails, `ended` is called here.
void run_async(const std::function<int(rados_completion_t)>& start, Ended ended) {
  auto argument = std::make_unique<Ended>(std::move(ended));
  rados_completion_t completion = nullptr;
  int r = rados_aio_create_completion2(argument.get(), &on_ended, &completion);
  if (r >= 0) {
    r = start(completion);
    rados_aio_release(completion);
  }
  if (r < 0) return (*argument)(r);
  argument.release();  // NOLINT(bugprone-unused-return-value): on_ended deletes it.
}

struct OmapRead {
  OmapRead() : op(rados_create_read_op()) {
    rados_read_op_omap_get_vals2(op, "", "", kPairsMax, &pairs, &more, &result);
  }
  ~OmapRead() {
    if (pairs != nullptr) rados_omap_get_end(pairs);
    rados_release_read_op(op);
  }
  OmapRead(const OmapRead&) = delete;
  OmapRead& operator=(const OmapRead&) = delete;

  std::vector<LedgerPair> take() const {
    std::vector<LedgerPair> all;
    char* key = nullptr;
    char* value = nullptr;
    size_t key_length = 0;
    size_t value_length = 0;
    while (pairs != nullptr &&
           rados_omap_get_next2(pairs, &key, &value, &key_length, &value_length) == 0 &&
           key != nullptr)
      all.emplace_back(std::string(key, key_length),
                       value != nullptr ? std::string(value, value_length) : std::string());
    return all;
  }

  const rados_read_op_t op;
  rados_omap_iter_t pairs = nullptr;
  unsigned char more = 0;
  int result = 0;
};

}  // namespace

struct FenceLedger::State : std::enable_shared_from_this<FenceLedger::State> {
  State(PoolHandle ledger_pool, std::string ledger_object, std::shared_ptr<Log> ledger_log,
        std::function<void()> changed)
      : pool(std::move(ledger_pool)),
        object(std::move(ledger_object)),
        log(std::move(ledger_log)),
        on_change(std::move(changed)) {}

  void write(const std::vector<LedgerPair>& pairs);
  void erase(const std::vector<std::string>& keys);
  void read();
  void read_ended(uint64_t number, const OmapRead& read, int result);
  void notify();
  void ended(const char* what, int result);
  void wait_until_idle();

  const PoolHandle pool;
  const std::string object;
  const std::shared_ptr<Log> log;
  const std::function<void()> on_change;

  Mutex mutex;
  std::condition_variable_any idle;
  FenceBook book GUARDED_BY(mutex);
  size_t under_way GUARDED_BY(mutex) = 0;     // Ops.
  bool complained GUARDED_BY(mutex) = false;  // Until one succeeds.
  std::vector<std::shared_ptr<Notify>> notifies GUARDED_BY(mutex);
  std::string own GUARDED_BY(mutex);  // The instance that serves, until it is reported.
};

void FenceLedger::State::write(const std::vector<LedgerPair>& pairs) {
  std::vector<std::string> addresses;
  std::vector<std::string> texts;
  for (const auto& [address, value] : pairs) {
    addresses.push_back(address);
    texts.push_back(value);
  }
  const Keys keys(addresses);
  const Keys values(texts);
  rados_write_op_t op = rados_create_write_op();
  rados_write_op_create(op, LIBRADOS_CREATE_IDEMPOTENT, nullptr);
  rados_write_op_omap_set2(op, keys.chars.data(), values.chars.data(), keys.lengths.data(),
                           values.lengths.data(), addresses.size());
  run_async(
      [&](rados_completion_t completion) {
        return rados_aio_write_op_operate(op, pool.get(), completion, object.c_str(), nullptr, 0);
      },
      [self = shared_from_this(), addresses](int result) {
        if (result >= 0) {
          const MutexLock lock(self->mutex);
          for (const std::string& address : addresses) self->book.saved(address);
        }
        self->ended("written", result);
      });
  rados_release_write_op(op);
}

void FenceLedger::State::erase(const std::vector<std::string>& addresses) {
  const Keys keys(addresses);
  rados_write_op_t op = rados_create_write_op();
  rados_write_op_omap_rm_keys2(op, keys.chars.data(), keys.lengths.data(), addresses.size());
  run_async(
      [&](rados_completion_t completion) {
        return rados_aio_write_op_operate(op, pool.get(), completion, object.c_str(), nullptr, 0);
      },
      [self = shared_from_this()](int result) { self->ended("written", result); });
  rados_release_write_op(op);
}

void FenceLedger::State::read() {
  uint64_t number = 0;
  {
    const MutexLock lock(mutex);
    ++under_way;
    number = book.reading();
  }
  const auto read = std::make_shared<OmapRead>();
  run_async(
      [&](rados_completion_t completion) {
        return rados_aio_read_op_operate(read->op, pool.get(), completion, object.c_str(), 0);
      },
      [self = shared_from_this(), number, read](int result) {
        self->read_ended(number, *read, result);
      });
}

void FenceLedger::State::read_ended(uint64_t number, const OmapRead& read, int result) {
  std::vector<std::string> over;
  bool something = false;
  if (result >= 0 || result == -ENOENT) {
    const auto pairs = result >= 0 ? read.take() : std::vector<LedgerPair>{};
    const MutexLock lock(mutex);
    over = book.stored(number, pairs, wall_clock());
    something = !book.empty(wall_clock());
    if (!over.empty()) ++under_way;
  }
  if (!over.empty()) erase(over);
  if (something) on_change();
  ended("read", result == -ENOENT ? 0 : result);
}

// Ordered after the write by the placement group: receivers of the notify read the new content.
void FenceLedger::State::notify() {
  auto sent = std::make_shared<Notify>();
  if (Notify::send(sent, pool.get(), object, kChanged, kPatience) < 0) return;
  const MutexLock lock(mutex);
  std::erase_if(notifies, [](const auto& notify) { return notify->ended(); });
  notifies.push_back(std::move(sent));
}

void FenceLedger::State::ended(const char* what, int result) {
  bool complains = false;
  {
    const MutexLock lock(mutex);
    complains = result < 0 && !std::exchange(complained, result < 0);
    if (result >= 0) complained = false;
    if (--under_way == 0) idle.notify_all();
  }
  if (complains) log->write<messages::kLedgerFailed>(what, failure_text(result));
}

void FenceLedger::State::wait_until_idle() {
  MutexLock lock(mutex);
  idle.wait_for(lock, kEndMax, [this]() REQUIRES_LOCK(mutex) { return under_way == 0; });
  const auto last = std::exchange(notifies, {});
  lock.unlock();
  for (const auto& notify : last) notify->wait_for_end(kEndMax);
}

std::expected<std::shared_ptr<FenceLedger>, std::string> FenceLedger::open(
    std::shared_ptr<ControlClient> control, const ImageSpec& spec, const std::string& image_id,
    std::shared_ptr<Log> log, std::function<void()> on_change, OnOwnFenced on_own_fenced) {
  auto pool = control->open_pool(spec.pool, spec.name_space);
  if (!pool) return std::unexpected(pool.error());
  return std::shared_ptr<FenceLedger>(
      new FenceLedger(std::move(control), std::move(*pool), spec, image_id, std::move(log),
                      std::move(on_change), std::move(on_own_fenced)));
}

FenceLedger::FenceLedger(std::shared_ptr<ControlClient> control, PoolHandle pool,
                         const ImageSpec& spec, const std::string& image_id,
                         std::shared_ptr<Log> log, std::function<void()> on_change,
                         OnOwnFenced on_own_fenced)
    : control_(std::move(control)),
      image_(tcmurbd::quoted(spec.to_string())),
      log_(std::move(log)),
      on_own_fenced_(std::move(on_own_fenced)),
      state_(std::make_shared<State>(std::move(pool), "tcmu-rbd.lock." + image_id, log_,
                                     std::move(on_change))) {}

FenceLedger::~FenceLedger() { state_->wait_until_idle(); }

void FenceLedger::add(const std::string& address, FenceReason cause) {
  {
    const MutexLock lock(state_->mutex);
    if (!state_->book.add(address, wall_clock(), cause)) return;
  }
  state_->on_change();
  save();
  state_->notify();
}

void FenceLedger::remove(const std::string& address) {
  {
    const MutexLock lock(state_->mutex);
    if (!state_->book.contains(address, wall_clock())) return;
    state_->book.remove(address);
    ++state_->under_way;
  }
  state_->erase({address});
  state_->notify();
}

void FenceLedger::save() {
  std::vector<LedgerPair> pairs;
  {
    const MutexLock lock(state_->mutex);
    pairs = state_->book.unsaved();
    if (pairs.empty()) return;
    ++state_->under_way;
  }
  state_->write(pairs);
}

void FenceLedger::refresh() {
  save();
  state_->read();
}

bool FenceLedger::empty() const {
  const MutexLock lock(state_->mutex);
  return state_->book.empty(wall_clock());
}

void FenceLedger::serve_as(const std::string& address) {
  {
    const MutexLock lock(state_->mutex);
    state_->own = address;
  }
  state_->on_change();
}

bool FenceLedger::serves() const {
  const MutexLock lock(state_->mutex);
  return !state_->own.empty();
}

void FenceLedger::look_for_own(const Blocklist& blocklist) {
  std::string fenced;
  {
    const MutexLock lock(state_->mutex);
    if (!blocklist.contains(state_->own)) return;
    fenced = std::exchange(state_->own, {});
  }
  on_own_fenced_(fenced);
}

bool FenceLedger::contains(const std::string& address) const {
  const MutexLock lock(state_->mutex);
  return state_->book.contains(address, wall_clock());
}

std::vector<FencedInstance> FenceLedger::list() const {
  const MutexLock lock(state_->mutex);
  return state_->book.list(wall_clock());
}

std::vector<std::string> FenceLedger::missing(const Blocklist& blocklist) const {
  const MutexLock lock(state_->mutex);
  return state_->book.missing(blocklist, wall_clock());
}

}  // namespace tcmurbd::ceph
