// Whether another user can get to a folder: commands and the private PostgreSQL run as users of their own.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <filesystem>
#include <string>

namespace rdev {

// The first directory on the way to `path` that this user cannot pass through; empty = the way is open.
inline std::string closed_directory(const std::string& path, uid_t uid, gid_t gid) {
  std::filesystem::path so_far;
  for (const auto& part : std::filesystem::weakly_canonical(path)) {
    so_far /= part;
    struct stat info {};
    if (::stat(so_far.c_str(), &info) != 0)
      return {};
    const bool open = (info.st_uid == uid && (info.st_mode & S_IXUSR) != 0) ||
                      (info.st_gid == gid && (info.st_mode & S_IXGRP) != 0) || (info.st_mode & S_IXOTH) != 0;
    if (!open)
      return so_far.string();
  }
  return {};
}

} // namespace rdev
