// SPDX-License-Identifier: Apache-2.0
// The families of metrics. kFamilies and the list of counters (device_counters.h) are all there
// is: the text and the documentation are made from them.
#include "rbd_handler/metrics/exposition.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "rbd_handler/metrics/text_writer.h"

namespace tcmurbd::metrics {

namespace {

using scsi::kOperationNames;

constexpr std::string_view kPrefix = "tcmu_rbd_";
constexpr std::string_view kLunLabels = "lun, pool, namespace, image";

// A sample with what all its families need.
struct Context {
  explicit Context(const Sample& of) : sample(of) {
    for (const LunSample& lun : of.luns) {
      labels.push_back("lun=" + quoted_label(lun.lun) + ",pool=" + quoted_label(lun.pool) +
                       ",namespace=" + quoted_label(lun.name_space) +
                       ",image=" + quoted_label(lun.image));
      words.push_back(lun.device ? words_of(lun.device->counters) : CounterWords{});
    }
  }
  // Calls fn(labels, device) for each LUN that serves.
  template <typename Fn>
  void for_each_device(const Fn& fn) const {
    for (size_t i = 0; i < labels.size(); ++i)
      if (const auto& device = sample.luns[i].device) fn(labels[i], *device);
  }

  const Sample& sample;
  std::vector<std::string> labels;  // By LUN, as is the next.
  std::vector<CounterWords> words;
};

std::string label(std::string_view name, std::string_view value) {
  return std::string(name) + "=" + quoted_label(value);
}

constexpr std::array<lock::State, 8> kLockStates{lock::State::kUnowned,   lock::State::kAcquiring,
                                                 lock::State::kOwned,     lock::State::kDraining,
                                                 lock::State::kReleasing, lock::State::kFencing,
                                                 lock::State::kReopening, lock::State::kStuck};

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

bool holds_lock(const DeviceGauges& device) {
  using enum lock::State;
  return device.lock == kOwned || device.lock == kDraining || device.lock == kReleasing ||
         device.lock == kStuck;
}

using Number = double (*)(const DeviceGauges&);

template <Number kNumber>
void write_number(TextWriter& out, const Context& context) {
  context.for_each_device([&](const std::string& labels, const DeviceGauges& device) {
    out.add(labels, kNumber(device));
  });
}

void write_lun_state(TextWriter& out, const Context& context) {
  for (size_t i = 0; i < context.labels.size(); ++i)
    for (const std::string_view state : kLunStates)
      out.add(context.labels[i], label("state", state),
              uint64_t{context.sample.luns[i].state == state});
}

void write_lock_state(TextWriter& out, const Context& context) {
  context.for_each_device([&](const std::string& labels, const DeviceGauges& device) {
    for (const lock::State state : kLockStates)
      out.add(labels, label("state", lock::name(state)), uint64_t{device.lock == state});
  });
}

void write_writes_state(TextWriter& out, const Context& context) {
  context.for_each_device([&](const std::string& labels, const DeviceGauges& device) {
    for (const std::string_view state : kWritesStateNames)
      out.add(labels, label("state", state), uint64_t{name(device.writes) == state});
  });
}

void write_hung(TextWriter& out, const Context& context) {
  for (size_t i = 0; i < context.labels.size(); ++i)
    for (const HungSample& hung : context.sample.luns[i].hung)
      out.add(context.labels[i],
              label("osd", hung.osd) + (hung.primary ? ",role=\"primary\"" : ",role=\"replica\""),
              uint64_t{hung.commands});
}

// Of the finer buckets that the daemon keeps, those of 1, 2 and 5 times a power of ten, and the
// last: each bucket is a series for each LUN and operation.
constexpr bool is_exposed(uint64_t bound) {
  if (bound == kLatencyLastNs) return true;
  while (bound % 10 == 0) bound /= 10;
  return bound == 1 || bound == 2 || bound == 5;
}

struct Bound {
  size_t index;
  std::string label;
};

const std::vector<Bound>& exposed_bounds() {
  static const std::vector<Bound> kBounds = [] {
    std::vector<Bound> bounds;
    for (size_t i = 0; i < kLatencyBoundsNs.size(); ++i)
      if (is_exposed(kLatencyBoundsNs[i]))
        bounds.push_back(
            {i, label("le", bound_text(static_cast<double>(kLatencyBoundsNs[i]) / 1e9))});
    return bounds;
  }();
  return kBounds;
}

void write_histogram(TextWriter& out, const std::string& labels, std::string_view operation,
                     const LatencyHistogram& histogram) {
  const std::string all = labels + "," + label("operation", operation);
  uint64_t below = 0;
  size_t next = 0;
  for (const Bound& bound : exposed_bounds()) {
    for (; next <= bound.index; ++next) below += histogram.buckets()[next];
    out.add_part("_bucket", all, bound.label, below);
  }
  const uint64_t count = histogram.count();
  out.add_part("_bucket", all, "le=\"+Inf\"", count);
  out.add_part("_sum", all, "", static_cast<double>(histogram.sum_ns()) / 1e9);
  out.add_part("_count", all, "", count);
}

// Operations that a LUN never had have no histogram.
template <LatencyByOperation DeviceLatency::* kMember>
void write_histograms(TextWriter& out, const Context& context) {
  context.for_each_device([&](const std::string& labels, const DeviceGauges& device) {
    const LatencyByOperation& histograms = device.latency.*kMember;
    for (size_t i = 0; i < histograms.size(); ++i)
      if (histograms[i].count() != 0)
        write_histogram(out, labels, kOperationNames[i], histograms[i]);
  });
}

void write_build(TextWriter& out, const Context& context) {
  out.add(label("version", context.sample.version) + "," + label("kernel", context.sample.kernel),
          uint64_t{1});
}

void write_reactors(TextWriter& out, const Context& context) {
  const auto& seconds_of = context.sample.reactor_cpu_seconds;
  for (size_t i = 0; i < seconds_of.size(); ++i)
    if (seconds_of[i] >= 0) out.add(label("reactor", std::to_string(i)), seconds_of[i]);
}

template <auto kMember>
void write_process(TextWriter& out, const Context& context) {
  if (const auto& process = context.sample.process) out.add("", (*process).*kMember);
}

struct Family {
  std::string_view name;  // Without kPrefix, but for "process_".
  Type type;
  std::string_view labels;
  std::string_view help;
  void (*write)(TextWriter& out, const Context& context);

  std::string full_name() const {
    return (name.starts_with("process_") ? "" : std::string(kPrefix)) + std::string(name);
  }
};

using Gauges = const DeviceGauges&;

// Before the counters.
constexpr std::array kFamilies{
    Family{"build", Type::kInfo, "version, kernel", "The version of tcmu-rbd and of the kernel; 1.",
           write_build},
    Family{"lun_state", Type::kGauge, "lun, pool, namespace, image, state",
           "1 for the state that the LUN is in, 0 for the others.", write_lun_state},
    Family{"lun_size_bytes", Type::kGauge, kLunLabels, "The size of the disk.",
           write_number<[](Gauges d) { return static_cast<double>(d.bytes); }>},
    Family{"lun_lock_owner", Type::kGauge, kLunLabels,
           "1 if this gateway holds the exclusive lock of the image, else 0.",
           write_number<[](Gauges d) { return holds_lock(d) ? 1.0 : 0.0; }>},
    Family{"lun_lock_state", Type::kGauge, "lun, pool, namespace, image, state",
           "1 for the state that the exclusive lock is in, 0 for the others.", write_lock_state},
    Family{"lun_writes_state", Type::kGauge, "lun, pool, namespace, image, state",
           "1 for what happens to commands that change the image, 0 for the others: served, or "
           "refused and why.",
           write_writes_state},
    Family{"commands_in_flight", Type::kGauge, kLunLabels, "Commands that are not answered yet.",
           write_number<[](Gauges d) { return static_cast<double>(d.in_flight); }>},
    Family{"detached_commands", Type::kGauge, kLunLabels,
           "Commands that were answered (aborted, or past their deadline) while their image ops "
           "have not ended.",
           write_number<[](Gauges d) { return static_cast<double>(d.detached); }>},
    Family{"oldest_command_seconds", Type::kGauge, kLunLabels,
           "The age of the oldest command that is not answered, without EXTENDED COPY; 0 if there "
           "is none.",
           write_number<[](Gauges d) { return seconds(d.oldest); }>},
    Family{"oldest_detached_seconds", Type::kGauge, kLunLabels,
           "The time since the oldest detached command was answered; 0 if there is none.",
           write_number<[](Gauges d) { return seconds(d.oldest_detached); }>},
    Family{"hung_commands", Type::kGauge, "lun, pool, namespace, image, osd, role",
           "Commands whose image ops are in RADOS for 1 s or longer. Each counts for all OSDs of "
           "its placement group; the sum over role=primary is their number.",
           write_hung},
    Family{"ring_used_bytes", Type::kGauge, kLunLabels, "The part of the command ring in use.",
           write_number<[](Gauges d) { return static_cast<double>(d.ring_used); }>},
    Family{"ring_size_bytes", Type::kGauge, kLunLabels, "The size of the command ring.",
           write_number<[](Gauges d) { return static_cast<double>(d.ring_bytes); }>},
    Family{"data_area_used_bytes", Type::kGauge, kLunLabels,
           "The part of the data area in use by commands and kept buffers, in pages.",
           write_number<[](Gauges d) { return static_cast<double>(d.data_used); }>},
    Family{"data_area_size_bytes", Type::kGauge, kLunLabels,
           "The size of the data area (attribute max_data_area_mb).",
           write_number<[](Gauges d) { return static_cast<double>(d.data_bytes); }>},
    Family{"command_seconds", Type::kHistogram, "lun, pool, namespace, image, operation",
           "The time of commands from the ring to their answer.",
           write_histograms<&DeviceLatency::command>},
    Family{
        "image_op_seconds", Type::kHistogram, "lun, pool, namespace, image, operation",
        "The part of it in librbd; it may end after the answer. Also reads and writes of EXTENDED "
        "COPY.",
        write_histograms<&DeviceLatency::image>},
    Family{"scrape_unanswered_luns", Type::kGauge, "",
           "LUNs that serve and are missing here, since their reactor did not answer in time.",
           [](TextWriter& out, const Context& c) { out.add("", c.sample.luns_unanswered); }},
    Family{"config_last_reload_successful", Type::kGauge, "",
           "1 if the last reading of the settings, at the start or a reload, was successful.",
           [](TextWriter& out, const Context& c) { out.add("", uint64_t{c.sample.reload_good}); }},
    Family{"config_last_reload_timestamp_seconds", Type::kGauge, "",
           "When the settings were last read.",
           [](TextWriter& out, const Context& c) { out.add("", c.sample.reload_time); }},
    Family{"reactor_cpu_seconds", Type::kCounter, "reactor",
           "Processor time of the threads that serve rings.", write_reactors},
    Family{"process_cpu_seconds", Type::kCounter, "",
           "Total user and system processor time of the process.",
           write_process<&ProcessSample::cpu_seconds>},
    Family{"process_resident_memory_bytes", Type::kGauge, "", "Resident memory of the process.",
           write_process<&ProcessSample::resident_bytes>},
    Family{"process_open_fds", Type::kGauge, "", "Open file descriptors of the process.",
           write_process<&ProcessSample::open_fds>},
    Family{"process_max_fds", Type::kGauge, "", "The limit of open file descriptors.",
           write_process<&ProcessSample::max_fds>},
    Family{"process_threads", Type::kGauge, "", "Threads of the process.",
           write_process<&ProcessSample::threads>},
    Family{"process_start_time_seconds", Type::kGauge, "", "When the process was started.",
           write_process<&ProcessSample::start_time>},
};

// The counters of a metric; those of one metric need not follow each other in the list.
struct CounterFamily {
  std::string_view name;
  std::string_view help;
  std::string_view label;
  std::vector<const DeviceCounter*> counters{};
};

std::vector<CounterFamily> counter_families() {
  std::vector<CounterFamily> families;
  for (const DeviceCounter& counter : kDeviceCounters) {
    if (counter.metric.empty()) continue;
    auto family = std::ranges::find(families, counter.metric, &CounterFamily::name);
    if (family == families.end()) {
      const auto shared = std::ranges::find(kSharedMetrics, counter.metric, &SharedMetric::name);
      families.push_back({counter.metric,
                          shared == kSharedMetrics.end() ? counter.help : shared->help,
                          counter.label});
      family = families.end() - 1;
    }
    family->counters.push_back(&counter);
  }
  return families;
}

void write_counter(TextWriter& out, const Context& context, size_t lun,
                   const DeviceCounter& counter) {
  if (!context.sample.luns[lun].device) return;
  for (size_t i = 0; i < counter.size(); ++i) {
    const std::string_view value = counter.values.empty() ? counter.value : counter.values[i];
    out.add(context.labels[lun], counter.label.empty() ? "" : label(counter.label, value),
            context.words[lun][counter.first + i]);
  }
}

}  // namespace

std::string expose(const Sample& sample, Format format) {
  const Context context(sample);
  TextWriter out(format);
  for (const Family& family : kFamilies) {
    out.begin(family.full_name(), family.type, family.help);
    family.write(out, context);
  }
  for (const CounterFamily& family : counter_families()) {
    out.begin(std::string(kPrefix).append(family.name), Type::kCounter, family.help);
    for (size_t lun = 0; lun < sample.luns.size(); ++lun)
      for (const DeviceCounter* counter : family.counters)
        write_counter(out, context, lun, *counter);
  }
  return std::move(out).finish();
}

std::vector<Documented> documented() {
  std::vector<Documented> list;
  for (const Family& family : kFamilies) {
    std::string name = family.full_name();
    if (family.type == Type::kCounter) name += "_total";
    if (family.type == Type::kInfo) name += "_info";
    list.push_back(
        {std::move(name), type_name(family.type), std::string(family.labels), family.help});
  }
  for (const CounterFamily& family : counter_families()) {
    std::string labels(kLunLabels);
    if (!family.label.empty()) labels.append(", ").append(family.label);
    list.push_back({std::string(kPrefix).append(family.name).append("_total"), "counter",
                    std::move(labels), family.help});
  }
  return list;
}

}  // namespace tcmurbd::metrics
