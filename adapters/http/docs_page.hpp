#pragma once

namespace rdev::http {

// A page that shows /openapi.json to people; it loads nothing from elsewhere.
extern const char* const docs_page;
extern const char* const docs_page_policy; // Content-Security-Policy

} // namespace rdev::http
