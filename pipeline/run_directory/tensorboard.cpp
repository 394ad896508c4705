#include <array>
#include <cstring>
#include <ctime>
#include <flowdarts/pipeline/run_directory/host.hpp>
#include <flowdarts/pipeline/run_directory/tensorboard.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <protozero/pbf_writer.hpp>
#include <utility>

namespace flowdarts {
namespace {

using protozero::pbf_writer;

constexpr std::array<std::uint32_t, 256> crc32c_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
    table[i] = crc;
  }
  return table;
}();

// record_writer.cc masks checksums because a CRC of data that holds its own CRC is weak.
std::uint32_t masked_crc32c(std::string_view data) {
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(data)));
  return ((crc >> 15U) | (crc << 17U)) + 0xA282EAD8U;
}

template <class T>
void put(std::string& bytes, T value) {
  std::array<char, sizeof(T)> raw{};
  std::memcpy(raw.data(), &value, sizeof(T));
  bytes.append(raw.data(), raw.size());
}

// Field numbers of the messages used, from tensorflow/core/util/event.proto and tensorflow/core/framework/*.proto.
namespace field {
enum Event { wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7 };
enum SessionLog { status = 1 };
enum Summary { value = 1 };
enum SummaryValue { tag = 1, simple_value = 2, tensor = 8, metadata = 9 };
enum SummaryMetadata { plugin_data = 1, data_class = 4 };
enum PluginData { plugin_name = 1 };
enum Tensor { dtype = 1, tensor_shape = 2, string_val = 8 };
enum TensorShape { dim = 2 };
enum Dim { size = 1 };
}  // namespace field
constexpr int session_start = 1;
constexpr int dtype_string = 7;
constexpr int data_class_tensor = 2;

std::string event_at(double wall_time, std::int64_t step) {
  std::string data;
  pbf_writer event(data);
  event.add_double(field::wall_time, wall_time);
  event.add_int64(field::step, step);
  return data;
}

AppendFile new_event_file(const std::filesystem::path& folder, const FileCalls& calls) {
  const std::string name = "events.out.tfevents." + std::to_string(std::time(nullptr)) + "." + host_name();
  for (int attempt = 0;; ++attempt) {
    const auto path = folder / (attempt == 0 ? name : name + "." + std::to_string(attempt));
    if (!std::filesystem::exists(path)) return AppendFile::create_new(path, calls);
  }
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~0U;
  for (const std::byte byte : bytes)
    crc = (crc >> 8U) ^ crc32c_table[(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xFFU];
  return ~crc;
}

EventWriter::EventWriter(const std::filesystem::path& folder, std::int64_t first_step, FileCalls calls)
    : file_(new_event_file(folder, calls)) {
  std::string version;
  pbf_writer version_event(version);
  version_event.add_double(field::wall_time, wall_time_now());
  version_event.add_string(field::file_version, "brain.Event:2");
  write_record(version);

  // TensorBoard takes the first start of a folder for that of the run and every later one for a resumption.
  std::string start = event_at(wall_time_now(), first_step);
  {
    pbf_writer event(start);
    pbf_writer session_log(event, field::session_log);
    session_log.add_enum(field::status, session_start);
  }
  write_record(start);
}

void EventWriter::add_scalar(std::string_view tag, std::int64_t step, float value, double wall_time) {
  std::string data = event_at(wall_time, step);
  {
    pbf_writer event(data);
    pbf_writer summary(event, field::summary);
    pbf_writer summary_value(summary, field::value);
    summary_value.add_string(field::tag, tag.data(), tag.size());
    summary_value.add_float(field::simple_value, value);
  }
  write_record(data);
}

void EventWriter::add_text(std::string_view tag, std::int64_t step, std::string_view text, double wall_time) {
  std::string data = event_at(wall_time, step);
  {
    pbf_writer event(data);
    pbf_writer summary(event, field::summary);
    pbf_writer summary_value(summary, field::value);
    summary_value.add_string(field::tag, tag.data(), tag.size());
    {
      pbf_writer tensor(summary_value, field::tensor);
      tensor.add_enum(field::dtype, dtype_string);
      {
        pbf_writer shape(tensor, field::tensor_shape);
        pbf_writer dim(shape, field::dim);
        dim.add_int64(field::size, 1);
      }
      tensor.add_bytes(field::string_val, text.data(), text.size());
    }
    pbf_writer metadata(summary_value, field::metadata);
    {
      pbf_writer plugin(metadata, field::plugin_data);
      plugin.add_string(field::plugin_name, "text");
    }
    metadata.add_enum(field::data_class, data_class_tensor);
  }
  write_record(data);
}

void EventWriter::write_record(std::string_view data) {
  std::string record;
  put(record, std::uint64_t{data.size()});
  put(record, masked_crc32c(record));
  record += data;
  put(record, masked_crc32c(data));
  file_.append(record);
}

}  // namespace flowdarts
