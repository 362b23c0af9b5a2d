#include "adapters/json/json.hpp"

#include "messages/values/output.hpp"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cmath>

namespace rdev::json {

namespace {

// RapidJSON escapes no more than it must and passes invalid UTF-8 on, so that is mended first.
std::string mended(std::string_view bytes) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size();) {
    std::size_t n = 1;
    while (n <= 4 && at + n <= bytes.size() && !valid_utf8(bytes.substr(at, n)))
      ++n;
    if (n <= 4 && at + n <= bytes.size()) {
      out += bytes.substr(at, n);
      at += n;
    } else {
      out += "\xef\xbf\xbd";
      ++at;
    }
  }
  return out;
}

rapidjson::SizeType size_of(std::string_view s) {
  return static_cast<rapidjson::SizeType>(s.size());
}

} // namespace

struct writer::impl {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> out{buffer};
};

writer::writer() : impl_(std::make_unique<impl>()) {
}
writer::~writer() = default;
writer::writer(writer&&) noexcept = default;
writer& writer::operator=(writer&&) noexcept = default;

writer& writer::begin_object() {
  impl_->out.StartObject();
  return *this;
}
writer& writer::end_object() {
  impl_->out.EndObject();
  return *this;
}
writer& writer::begin_array() {
  impl_->out.StartArray();
  return *this;
}
writer& writer::end_array() {
  impl_->out.EndArray();
  return *this;
}
writer& writer::key(std::string_view name) {
  const auto good = valid_utf8(name) ? std::string(name) : mended(name);
  impl_->out.Key(good.data(), size_of(good));
  return *this;
}
writer& writer::string(std::string_view v) {
  return valid_utf8(v) ? valid_string(v) : valid_string(mended(v));
}
writer& writer::valid_string(std::string_view v) {
  impl_->out.String(v.empty() ? "" : v.data(), size_of(v));
  return *this;
}
writer& writer::integer(std::int64_t v) {
  impl_->out.Int64(v);
  return *this;
}
writer& writer::unsigned_integer(std::uint64_t v) {
  impl_->out.Uint64(v);
  return *this;
}
writer& writer::number(double v) {
  if (!std::isfinite(v)) // not a number or infinite: JSON has no word for it
    return null();
  impl_->out.Double(v);
  return *this;
}
writer& writer::boolean(bool v) {
  impl_->out.Bool(v);
  return *this;
}
writer& writer::null() {
  impl_->out.Null();
  return *this;
}
writer& writer::raw(std::string_view json) {
  impl_->out.RawValue(json.data(), json.size(), rapidjson::kObjectType);
  return *this;
}

std::string writer::take() {
  std::string out(impl_->buffer.GetString(), impl_->buffer.GetSize());
  impl_->buffer.Clear();
  impl_->out.Reset(impl_->buffer);
  return out;
}

} // namespace rdev::json
