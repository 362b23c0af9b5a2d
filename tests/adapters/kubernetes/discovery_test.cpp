// What is read out of the cluster's pods, and what is asked of it.
#include "adapters/kubernetes/discovery.hpp"
#include "adapters/kubernetes/manifest.hpp"
#include "adapters/kubernetes/pace.hpp"
#include "adapters/kubernetes/shim_protocol.hpp"
#include "messages/values/time.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rdev::kubernetes {
namespace {

using ::testing::HasSubstr;

json::value parsed(const std::string& text) {
  auto out = json::parse(text);
  EXPECT_TRUE(std::holds_alternative<json::value>(out)) << text;
  return std::holds_alternative<json::value>(out) ? std::get<json::value>(out) : json::value();
}

struct pod_text {
  std::string labels =
      R"("rdev.orchard9.ai/project":"true","rdev.orchard9.ai/project-id":"demo","app.kubernetes.io/managed-by":"rdev")";
  std::string meta;
  std::string phase = "Running";
  std::string container = R"("containerID":"containerd://c1","ready":true,"restartCount":2,"state":{"running":{}})";
  std::string status;

  [[nodiscard]] std::optional<pod> read(bool adopt = false) const {
    return read_pod(
        parsed(
            R"({"metadata":{"name":"project-demo-0","uid":"u1","creationTimestamp":"2026-11-27T12:00:00Z","labels":{)" +
            labels + "}" + meta +
            R"(},"spec":{"containers":[{"name":"side"},{"name":"project"}]},"status":{"phase":")" + phase +
            R"(","containerStatuses":[{"name":"side"},{"name":"project",)" + container + "}]" + status + "}}"),
        adopt);
  }
};

TEST(Discovery, SeesAPodThatRuns) {
  const auto got = pod_text{}.read();
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->usable);
  EXPECT_EQ(got->name, "project-demo-0");
  EXPECT_EQ(got->uid, "u1");
  EXPECT_EQ(got->container, "project");
  EXPECT_EQ(got->container_id, "containerd://c1");
  EXPECT_EQ(got->what.id, "demo");
  EXPECT_EQ(got->what.status, project_status::running);
  EXPECT_EQ(got->what.reason, std::nullopt);
  EXPECT_EQ(got->what.restarts, 2);
  EXPECT_EQ(to_rfc3339(got->what.created_at), "2026-11-27T12:00:00.000Z");
}

TEST(Discovery, TakesOnlyPodsOfOurProjects) {
  const std::string project = R"("rdev.orchard9.ai/project":"true")";
  const std::string id = R"("rdev.orchard9.ai/project-id":"demo")";
  const std::string ours = R"("app.kubernetes.io/managed-by":"rdev")";
  const auto taken = [](const std::string& labels, bool adopt = false) {
    pod_text text;
    text.labels = labels;
    return text.read(adopt).has_value();
  };
  EXPECT_TRUE(taken(project + "," + id + "," + ours));
  EXPECT_FALSE(taken(project + "," + id));
  EXPECT_TRUE(taken(project + "," + id, true)) << "adopted";
  EXPECT_FALSE(taken(id + "," + ours));
  EXPECT_FALSE(taken(project + "," + ours));
  EXPECT_FALSE(taken(project + R"(,"rdev.orchard9.ai/project-id":"Not-An-Id",)" + ours));
  EXPECT_FALSE(taken(project + "," + id + "," + ours + R"(,"app":"rdev-api")", true)) << "never into ourselves";
}

TEST(Discovery, SaysInWhichStateAPodIsAndWhy) {
  const auto state = [](const pod_text& text) {
    const auto got = text.read();
    return std::string(name_of(got->what.status)) + (got->usable ? " usable: " : ": ") + got->what.reason.value_or("");
  };
  pod_text text;
  text.phase = "Pending";
  text.container = R"("ready":false,"state":{"waiting":{"reason":"ContainerCreating"}})";
  EXPECT_EQ(state(text), "pending: ContainerCreating");
  text.container = R"("ready":false,"state":{"waiting":{"reason":"ImagePullBackOff","message":"no such image"}})";
  EXPECT_EQ(state(text), "unhealthy: ImagePullBackOff: no such image");
  text.container = R"("ready":false)";
  text.status =
      R"(,"conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/1 nodes"}])";
  EXPECT_EQ(state(text), "pending: Unschedulable: 0/1 nodes");
  text = {};
  text.container = R"("containerID":"c","ready":false,"state":{"terminated":{"reason":"OOMKilled"}})";
  EXPECT_EQ(state(text), "unhealthy: OOMKilled");
  text = {};
  text.phase = "Failed";
  text.status = R"(,"reason":"Evicted")";
  text.container = R"("ready":false,"state":{"terminated":{}})";
  EXPECT_EQ(state(text), "unhealthy: the pod ended: Evicted");
  text = {};
  text.meta = R"(,"deletionTimestamp":"2026-11-27T12:00:00Z")";
  EXPECT_EQ(state(text), "stopped: the pod is being deleted");
}

TEST(Discovery, ShowsTheLabelsOfTheRequestOrThoseOfThePod) {
  pod_text text;
  text.labels += R"(,"team":"core")";
  EXPECT_EQ(text.read()->what.labels.at("team"), "core");
  text.meta = R"(,"annotations":{"rdev.orchard9.ai/labels":"{\"a\":\"b\"}"})";
  EXPECT_EQ(text.read()->what.labels, (std::map<std::string, std::string>{{"a", "b"}}));
}

TEST(Discovery, HoldsOutAgainstPodsThatAreNone) {
  for (const auto* text : {"{}", "[]", "null", "1", R"({"metadata":1})", R"({"metadata":{"labels":[]}})"})
    EXPECT_FALSE(read_pod(parsed(text), true)) << text;
}

TEST(Pods, OfTwoWithOneProjectNoneIsUsed) {
  pods seen;
  EXPECT_FALSE(seen.known());
  auto one = *pod_text{}.read();
  auto other = one;
  other.name = "another";
  seen.replace_all({one, other});
  EXPECT_TRUE(seen.known());
  const auto both = seen.of_project("demo");
  ASSERT_TRUE(both);
  EXPECT_FALSE(both->usable);
  EXPECT_EQ(both->what.status, project_status::unhealthy);
  EXPECT_EQ(both->what.reason, "duplicate");
  seen.remove("another");
  EXPECT_TRUE(seen.of_project("demo")->usable);
  seen.remove("project-demo-0");
  EXPECT_FALSE(seen.of_project("demo"));
}

TEST(Manifest, AsksForAPodThatMayDoLittle) {
  pod_template from;
  from.image = "image:1";
  from.run_folder = "/run/rdev";
  from.cpu_limit = "2";
  from.memory_limit = "1Gi";
  const auto set = parsed(stateful_set({"demo", {{"team", "a\"b"}}}, from));
  EXPECT_EQ(set["kind"].as_string(), "StatefulSet");
  EXPECT_EQ(set["metadata"]["name"].as_string(), "project-demo");
  EXPECT_EQ(set["spec"]["replicas"].as_integer(), 1);
  EXPECT_FALSE(set["spec"]["volumeClaimTemplates"].exists());
  const auto pod = set["spec"]["template"];
  EXPECT_EQ(pod["metadata"]["labels"][project_label].as_string(), "true");
  EXPECT_EQ(pod["metadata"]["labels"][id_label].as_string(), "demo");
  EXPECT_EQ(pod["metadata"]["labels"][owner_label].as_string(), "rdev");
  EXPECT_EQ(pod["metadata"]["annotations"][given_labels].as_string(), R"({"team":"a\"b"})");
  const auto spec = pod["spec"];
  EXPECT_TRUE(spec["automountServiceAccountToken"].is_boolean());
  EXPECT_FALSE(spec["automountServiceAccountToken"].as_boolean());
  EXPECT_TRUE(spec["securityContext"]["runAsNonRoot"].as_boolean());
  EXPECT_EQ(spec["securityContext"]["runAsUser"].as_integer(), 1000);
  EXPECT_EQ(spec["securityContext"]["seccompProfile"]["type"].as_string(), "RuntimeDefault");
  const auto container = spec["containers"].at(0);
  EXPECT_EQ(container["image"].as_string(), "image:1");
  EXPECT_TRUE(container["securityContext"]["allowPrivilegeEscalation"].is_boolean());
  EXPECT_FALSE(container["securityContext"]["allowPrivilegeEscalation"].as_boolean());
  EXPECT_EQ(container["securityContext"]["capabilities"]["drop"].at(0).as_string(), "ALL");
  EXPECT_EQ(container["resources"]["limits"]["memory"].as_string(), "1Gi");
  EXPECT_EQ(spec["volumes"].size(), 2U);
}

TEST(Manifest, AsksForAVolumeWhenThereIsAStorageClass) {
  pod_template from;
  from.storage_class = "fast";
  from.storage = "5Gi";
  const auto set = parsed(stateful_set({"demo", {}}, from));
  const auto claim = set["spec"]["volumeClaimTemplates"].at(0)["spec"];
  EXPECT_EQ(claim["storageClassName"].as_string(), "fast");
  EXPECT_EQ(claim["resources"]["requests"]["storage"].as_string(), "5Gi");
  EXPECT_EQ(set["spec"]["template"]["spec"]["volumes"].size(), 1U) << "the folder of what runs goes with the pod";
}

TEST(Manifest, TakesWhatTheRequestWishes) {
  pod_template from;
  from.image = "image:1";
  from.cpu_limit = "2";
  from.memory_limit = "1Gi";
  create_project what{"demo", {}};
  what.pod = {"other:2", "500m", "", "", "https://example.org/x.git", {{"A", "b$(C)"}}, {"project-demo-token"}};
  const auto spec = parsed(stateful_set(what, from))["spec"]["template"]["spec"];
  const auto container = spec["containers"].at(0);
  EXPECT_EQ(container["image"].as_string(), "other:2");
  EXPECT_EQ(container["resources"]["limits"]["cpu"].as_string(), "500m");
  EXPECT_EQ(container["resources"]["limits"]["memory"].as_string(), "1Gi");
  EXPECT_EQ(container["env"].at(0)["name"].as_string(), "A");
  EXPECT_EQ(container["env"].at(0)["value"].as_string(), "b$$(C)") << "nothing is put in its place";
  EXPECT_EQ(container["envFrom"].at(0)["secretRef"]["name"].as_string(), "project-demo-token");
  const auto clone = spec["initContainers"].at(0);
  EXPECT_EQ(clone["env"].at(1)["value"].as_string(), "https://example.org/x.git");
  EXPECT_EQ(clone["securityContext"]["capabilities"]["drop"].at(0).as_string(), "ALL");
}

TEST(Manifest, RefusesWhatIsNotAllowed) {
  pod_template from;
  from.images = {"registry.example.org/*", "debian:12"};
  from.secret_patterns = {"project-<id>-*"};
  const auto field = [&](const pod_wish& wish) {
    create_project what{"demo", {}};
    what.pod = wish;
    std::string out;
    for (const auto& one : objections_to(what, from))
      out += (out.empty() ? "" : "; ") + one.field + " " + one.problem;
    return out;
  };
  EXPECT_EQ(field({}), "");
  EXPECT_EQ(field({"debian:12", "", "", "", "", {}, {"project-demo-token"}}), "");
  EXPECT_EQ(field({"registry.example.org/a/b:1", "", "", "", "", {}, {}}), "");
  EXPECT_EQ(field({"evil:1", "", "", "", "", {}, {}}), "image is none of kubernetes.images");
  EXPECT_THAT(field({"", "", "", "1Gi", "", {}, {}}), HasSubstr("needs kubernetes.storage_class"));
  for (const auto* name : {"rdev-api", "project-other-token", "project-demo"})
    EXPECT_THAT(field({"", "", "", "", "", {}, {name}}), HasSubstr("matches none of kubernetes.secret_patterns"));
  EXPECT_EQ(field({"evil:1", "", "", "", "", {}, {"project-demo-a", "rdev-api"}}),
            "image is none of kubernetes.images; env_from[1] 'rdev-api' matches none of kubernetes.secret_patterns");
  from.images.clear();
  EXPECT_EQ(field({"anything:1", "", "", "", "", {}, {}}), "");
}

// ---- the words of the shim

TEST(RecordSplitter, TakesRecordsOutHoweverTheBytesAreCut) {
  const std::string mark = "\x1eRDEV nonce ";
  const std::string input = "one" + mark + "running\ntwo\x1e" + "RDEV\x1eRDEV non" + mark + "end\nthree\x1eRDEV nonce";
  for (std::size_t cut = 0; cut <= input.size(); ++cut) {
    record_splitter splitter("nonce");
    std::string bytes;
    std::vector<std::string> records;
    const auto feed = [&](std::string_view more) {
      for (auto got = splitter.take(more);; got = splitter.take({})) {
        bytes += got.bytes;
        if (!got.record)
          return;
        records.push_back(*got.record);
      }
    };
    feed(std::string_view(input).substr(0, cut));
    feed(std::string_view(input).substr(cut));
    EXPECT_EQ(bytes, "onetwo\x1eRDEV\x1eRDEV nonthree");
    EXPECT_EQ(records, (std::vector<std::string>{"running", "end"}));
  }
}

TEST(ShimProtocol, UnderstandsWhatItMayHearAndNothingElse) {
  const shim_place where;
  EXPECT_EQ(parse_state("new running", where)->state, run_state::running);
  EXPECT_TRUE(parse_state("ending", where)->ending);
  EXPECT_EQ(parse_state("lost some reason", where)->reason, "some reason");
  const auto end = parse_state("end exited 137 signal timeout 12.34 1 ; 5 6 7 8 short", where);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->state, run_state::exited);
  EXPECT_EQ(end->signal, 9);
  EXPECT_TRUE(end->timed_out);
  EXPECT_EQ(end->survivors, 1);
  EXPECT_EQ(end->out_bytes, 5U);
  EXPECT_EQ(end->out_total, 6U);
  EXPECT_EQ(end->err_bytes, 7U);
  EXPECT_EQ(end->err_total, 8U);
  EXPECT_TRUE(end->output_lost);
  EXPECT_EQ(parse_state("exited 130 maybe - 1.00 0", where)->signal, 0);
  for (const auto* text : {"", "new", "exited", "exited x exit - 1.00 0", "exited 0 exit - 1.0 0",
                           "exited 0 exit - 1.00", "end running", "end running ; 1 2 3",
                           "end exited 0 exit - 1.00 0 ; 1 2 3 -4 whole", "elsewhere x", "late", "fail x", "rubbish"})
    EXPECT_FALSE(parse_state(text, where)) << text;
  EXPECT_FALSE(parse_greeting("here"));
  EXPECT_FALSE(parse_greeting("here mark x"));
  EXPECT_FALSE(parse_greeting("there mark 1.00"));
  EXPECT_EQ(parse_greeting("here mark 1.00 rubbish")->kept.size(), 0U);
}

TEST(Pace, LetsABurstThroughThenOneAfterTheOther) {
  pace it(10, 3);
  std::chrono::milliseconds now(5'000);
  const auto take = [&] { return it.take(now, std::chrono::milliseconds(1'000)).count(); };
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 100);
  EXPECT_EQ(take(), 200);
  now += std::chrono::milliseconds(300);
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 100);
  now += std::chrono::hours(1);
  EXPECT_EQ(take(), 0) << "tokens of long ago are not saved up";
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(take(), 100);
}

TEST(Pace, WhoWouldWaitTooLongIsNotCounted) {
  pace it(10, 1);
  const std::chrono::milliseconds now(5'000);
  EXPECT_EQ(it.take(now, std::chrono::milliseconds(0)).count(), 0);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(it.take(now, std::chrono::milliseconds(50)).count(), 100);
  EXPECT_EQ(it.take(now, std::chrono::milliseconds(100)).count(), 100);
  EXPECT_EQ(it.take(now, std::chrono::milliseconds(500)).count(), 200);
}

TEST(Pods, FindsThemByProjectAndTellsOfEachChange) {
  pods all;
  int changes = 0;
  std::vector<std::string> about;
  all.on_change([&] { ++changes; });
  all.on_project([&](const std::string& project) { about.push_back(project); });
  EXPECT_FALSE(all.known());
  const auto a_pod = [](const std::string& name, const std::string& project) {
    pod out;
    out.name = name;
    out.what.id = project;
    out.usable = true;
    return out;
  };
  all.replace_all({a_pod("a-0", "a"), a_pod("b-0", "b")});
  EXPECT_TRUE(all.known());
  EXPECT_THAT(about, ::testing::ElementsAre("a", "b"));
  EXPECT_TRUE(all.of_project("a")->usable);
  all.put(a_pod("x", "a"));
  EXPECT_FALSE(all.of_project("a")->usable) << "two pods with one id";
  EXPECT_EQ(all.of_project("a")->what.reason, "duplicate");
  all.put(a_pod("x", "c"));
  EXPECT_TRUE(all.of_project("a")->usable);
  EXPECT_TRUE(all.of_project("c"));
  about.clear();
  all.remove("x");
  all.remove("nobody");
  EXPECT_THAT(about, ::testing::ElementsAre("c"));
  EXPECT_FALSE(all.of_project("c"));
  about.clear();
  all.replace_all({a_pod("b-0", "b")});
  EXPECT_THAT(about, ::testing::ElementsAre("a", "b")) << "also what is gone";
  EXPECT_EQ(changes, 6);
}

TEST(WantedProjects, OlderNewsIsDropped) {
  wanted_projects all;
  const auto of = [](std::uint64_t version, bool stopped) {
    wanted_project out;
    out.what.id = "a";
    out.version = version;
    out.stopped = stopped;
    return out;
  };
  EXPECT_FALSE(all.known());
  all.replace_all({of(5, false)});
  EXPECT_TRUE(all.known());
  all.put(of(7, true)); // the answer to our own change
  all.put(of(6, false));
  EXPECT_TRUE(all.find("a")->stopped);
  all.remove(of(6, false));
  EXPECT_TRUE(all.find("a"));
  all.remove(of(8, false));
  EXPECT_FALSE(all.find("a"));
  EXPECT_TRUE(all.all().empty());
}

TEST(Discovery, SaysWhyTheRepositoryCouldNotBeCloned) {
  pod_text text;
  text.phase = "Pending";
  text.container = R"("ready":false,"restartCount":0,"state":{"waiting":{"reason":"PodInitializing"}})";
  EXPECT_EQ(text.read()->what.status, project_status::pending);
  text.status = R"(,"initContainerStatuses":[{"name":"clone","state":{"waiting":{"reason":"CrashLoopBackOff"}},)"
                R"("lastState":{"terminated":{"exitCode":128,"message":"fatal: no repository"}}}])";
  const auto got = text.read();
  EXPECT_EQ(got->what.status, project_status::unhealthy);
  EXPECT_EQ(got->what.reason, "container clone ended with code 128: fatal: no repository");
}

} // namespace
} // namespace rdev::kubernetes
