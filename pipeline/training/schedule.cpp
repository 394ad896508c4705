#include <flowdarts/pipeline/training/schedule.hpp>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>

#include <cmath>
#include <numbers>
#include <string>

namespace flowdarts {
namespace {

constexpr std::int64_t linear_tail = 5;

double scheduled(const ScheduleOptions& options, std::int64_t epoch, std::int64_t epochs, std::int64_t warmup) {
  const double lr = options.lr;
  const auto e = static_cast<double>(epoch), all = static_cast<double>(epochs);
  switch (options.schedule.value) {
    case ScheduleKind::step:
      return lr * std::pow(options.step_factor.value, static_cast<double>(epoch / options.step_epochs));
    case ScheduleKind::linear: {
      const double falling = all - linear_tail;
      return epoch < epochs - linear_tail ? lr * (falling - e) / falling : lr * (all - e) / (linear_tail * falling);
    }
    case ScheduleKind::cosine:
      break;
  }
  if (epoch >= epochs - warmup && warmup > 0) return options.lr_min;
  const double part = (e - static_cast<double>(warmup)) / (all - static_cast<double>(warmup));
  return options.lr_min + (lr - options.lr_min) * (1 + std::cos(std::numbers::pi * part)) / 2;
}

}  // namespace

std::int64_t warmup_epochs(const ScheduleOptions& options, std::int64_t batch_size) {
  return batch_size > options.warmup_above ? options.warmup_epochs.value : 0;
}

void check_schedule(const ScheduleOptions& options, std::int64_t epochs, std::int64_t batch_size) {
  const std::string of = " with --epochs " + std::to_string(epochs) + ", expected ";
  if (options.schedule.value == ScheduleKind::linear && epochs <= linear_tail) {
    throw InputError("--schedule: found linear" + of + "another schedule, or more than " + std::to_string(linear_tail) +
                     " epochs");
  }
  if (warmup_epochs(options, batch_size) > epochs / 2) {
    throw InputError("--warmup-epochs: found " + std::to_string(options.warmup_epochs) + of + "at most " +
                     std::to_string(epochs / 2) + ", half of them");
  }
}

double learning_rate(const ScheduleOptions& options, std::int64_t epoch, std::int64_t epochs, std::int64_t batch_size) {
  const std::int64_t warmup = warmup_epochs(options, batch_size);
  if (epoch >= warmup) return scheduled(options, epoch, epochs, warmup);
  const double part = static_cast<double>(epoch + 1) / static_cast<double>(warmup);
  switch (options.warmup.value) {
    case WarmUpKind::scaled:
      return scheduled(options, epoch, epochs, warmup) * part;
    case WarmUpKind::from:
      return options.warmup_lr +
             (options.lr - options.warmup_lr) * static_cast<double>(epoch) / static_cast<double>(warmup);
    case WarmUpKind::proportional:
      break;
  }
  return options.lr * part;
}

double drop_path_probability(double probability, std::string_view space, std::int64_t epoch, std::int64_t epochs) {
  if (space == mobilenet::space_name) return probability;
  return probability * static_cast<double>(epoch) / static_cast<double>(epochs);
}

}  // namespace flowdarts
