#include "actors/pod_control.hpp"

#include "adapters/memory/memory_projects.hpp"
#include "tests/support/actor_house.hpp"
#include "tests/support/samples.hpp"

#include <gmock/gmock.h>

namespace rdev::pod_control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PodControl : public test::actor_house {
protected:
  PodControl() {
    who = test::who_has(test::a_key());
    add("demo");
    play<command_queue::actor>(
        [this](const command_queue::look_up&) -> caf::result<command_queue::looked_up> {
          if (queue_fault)
            return to_error({*queue_fault, "planned"});
          return command_queue::looked_up{hit};
        },
        [this](const command_queue::record& what) -> caf::result<command_queue::recorded> {
          if (queue_fault)
            return to_error({*queue_fault, "planned"});
          changes.push_back(what.what);
          return command_queue::recorded{};
        },
        [this](const command_queue::vouch& what) -> caf::result<command_queue::vouched> {
          if (vouch_fault)
            return to_error({*vouch_fault, "planned"});
          if (key_is_good)
            intents.push_back(what.what);
          return command_queue::vouched{key_is_good};
        },
        [this](const command_queue::observe& what) { observed.push_back(what.what); });
    play<queries::actor>([this](const queries::request&) { return answer<outcome>(outcome(queue)); });
    play<streams::actor>([this](const streams::project_changed& what) { told.push_back(what.what); });
    control = open(behavior, around(), host);
  }

  void add(const std::string& id) {
    project one;
    one.id = id;
    host->put(one);
  }
  test::asked<answer<outcome>> want(operation what, std::optional<idempotency> key = {}) {
    return ask<answer<outcome>>(control,
                                request{who, test::a_request("POST", "/projects"), std::move(key), std::move(what)});
  }
  template <class T>
  T done(operation what, std::optional<idempotency> key = {}) {
    return std::get<T>(*want(std::move(what), std::move(key)).reply());
  }
  refusal_code refused(operation what, std::optional<idempotency> key = {}) {
    return want(std::move(what), std::move(key)).reply().why().code;
  }
  answer<project> located(const std::string& id) {
    return ask<answer<project>>(control, locate{test::a_request(), id}).reply();
  }
  std::vector<std::string> listed(const page_request& at = {}) {
    std::vector<std::string> out;
    for (const auto& p : done<page<project>>(list_projects{at}).items)
      out.push_back(p.id);
    return out;
  }

  std::shared_ptr<memory::projects> host = std::make_shared<memory::projects>();
  principal who;
  queue_view queue;
  std::optional<idempotency_hit> hit;
  std::optional<fault> queue_fault;
  std::vector<project_change> changes;
  std::vector<project> told;
  std::vector<project_health> observed;
  actor control;
  bool key_is_good = true;
  std::optional<fault> vouch_fault;
  std::vector<project_change> intents;
};

TEST_F(PodControl, DoesNothingThatCannotBePutOnRecordBefore) {
  vouch_fault = fault::unavailable;
  EXPECT_EQ(want(create_project{"fresh", {}}).failed(), fault::unavailable);
  EXPECT_EQ(want(delete_project{"demo"}).failed(), fault::unavailable);
  EXPECT_EQ(listed(), std::vector<std::string>{"demo"});
  vouch_fault.reset();
  done<project_created>(create_project{"fresh", {}});
  done<project>(delete_project{"demo"});
  ASSERT_EQ(intents.size(), 2U);
  EXPECT_EQ(intents[0].event, "project.create");
  EXPECT_EQ(intents[0].project, "fresh");
  EXPECT_EQ(intents[0].by, who.key);
  EXPECT_EQ(intents[1].event, "project.delete");
  EXPECT_EQ(changes.at(0).event, "project.created");
}

TEST_F(PodControl, LocatesAProjectUnlessItIsMissingOrStopped) {
  EXPECT_EQ(located("demo")->id, "demo");
  EXPECT_EQ(located("other").why().code, refusal_code::not_found);
  host->set_status("demo", project_status::unhealthy);
  EXPECT_TRUE(located("demo")); // the command waits
  host->set_status("demo", project_status::stopped);
  EXPECT_EQ(located("demo").why().code, refusal_code::conflict);
  EXPECT_NE(located("demo").why().message.find("/projects/demo/start"), std::string::npos);
}

TEST_F(PodControl, TouchesNothingForAKeyThatWasRevokedOrChangedMeanwhile) {
  key_is_good = false;
  EXPECT_EQ(want(create_project{"fresh", {}}).failed(), fault::key_changed);
  EXPECT_EQ(want(delete_project{"demo"}).failed(), fault::key_changed);
  EXPECT_EQ(want(delete_project{"demo", true}).failed(), fault::key_changed);
  EXPECT_EQ(listed(), std::vector<std::string>{"demo"});
  EXPECT_TRUE(changes.empty());
}

TEST_F(PodControl, PassesAFaultOfTheHostOn) {
  host->fail_next(fault::unavailable, 3);
  EXPECT_EQ(ask<answer<project>>(control, locate{test::a_request(), "demo"}).failed(), fault::unavailable);
  EXPECT_EQ(want(list_projects{}).failed(), fault::unavailable);
  EXPECT_EQ(want(get_project{"demo"}).failed(), fault::unavailable);
  EXPECT_EQ(done<project>(get_project{"demo"}).id, "demo");
}

TEST_F(PodControl, LetsCommandsWaitWhileTheHostOfAnotherMachineCannotBeAsked) {
  host->move_away();
  host->fail_next(fault::unavailable, 2);
  const auto found = located("unseen");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, "unseen");
  EXPECT_EQ(found->status, project_status::pending);
  EXPECT_EQ(want(get_project{"demo"}).failed(), fault::unavailable);
  EXPECT_EQ(located("unseen").why().code, refusal_code::not_found) << "now it could be asked";
}

TEST_F(PodControl, TellsStreamsWhatTheHostSawAndTheQueueOfTheHealthOnceForEachChange) {
  const auto seen_as = [&](project_status status, std::optional<std::string> reason = {}) {
    project now;
    now.id = "demo";
    now.status = status;
    now.reason = std::move(reason);
    tell(control, seen{now});
  };
  seen_as(project_status::pending);
  EXPECT_THAT(told, SizeIs(1));
  EXPECT_THAT(observed, IsEmpty()) << "it is on its way";
  seen_as(project_status::running);
  seen_as(project_status::running);
  seen_as(project_status::unhealthy, "ErrImagePull");
  seen_as(project_status::pending);
  seen_as(project_status::unhealthy, "ImagePullBackOff");
  seen_as(project_status::running);
  EXPECT_THAT(told, SizeIs(7));
  ASSERT_THAT(observed, SizeIs(3));
  EXPECT_TRUE(observed[0].healthy);
  EXPECT_FALSE(observed[1].healthy);
  EXPECT_EQ(observed[1].reason, "ErrImagePull");
  EXPECT_EQ(observed[1].project, "demo");
  EXPECT_TRUE(observed[2].healthy);
}

TEST_F(PodControl, ListsPageByPage) {
  for (const auto* id : {"a", "b", "c", "x"})
    add(id);
  page_request at{{}, 2};
  auto first = done<page<project>>(list_projects{at});
  ASSERT_THAT(first.items, SizeIs(2));
  EXPECT_THAT(listed({first.next_cursor, 2}), ElementsAre("c", "demo"));
  auto last = done<page<project>>(list_projects{{"demo", 2}});
  EXPECT_THAT(last.items, SizeIs(1));
  EXPECT_FALSE(last.next_cursor);
}

TEST_F(PodControl, ShowsABoundKeyOnlyItsProjects) {
  for (const auto* id : {"a", "b", "c"})
    add(id);
  who.project_ids = {"b", "c"};
  EXPECT_THAT(listed(), ElementsAre("b", "c"));
  EXPECT_THAT(listed({{}, 1}), ElementsAre("b"));
}

TEST_F(PodControl, MakesAProjectRecordsItAndTellsTheReaders) {
  auto made = done<project_created>(create_project{"fresh", {{"team", "x"}}});
  EXPECT_EQ(made.what.id, "fresh");
  EXPECT_FALSE(made.replayed);
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_EQ(changes[0].event, "project.created");
  EXPECT_EQ(changes[0].project, "fresh");
  EXPECT_EQ(changes[0].by, who.key);
  EXPECT_THAT(told, SizeIs(1));
  EXPECT_TRUE(located("fresh"));
}

TEST_F(PodControl, RefusesToMakeWhatIsThere) {
  EXPECT_EQ(refused(create_project{"demo", {}}), refusal_code::conflict);
  EXPECT_THAT(changes, IsEmpty());
}

TEST_F(PodControl, RefusesToMakeAProjectOutsideTheBindingOfTheKey) {
  who.project_ids = {"demo"};
  EXPECT_EQ(refused(create_project{"fresh", {}}), refusal_code::forbidden);
  EXPECT_FALSE(located("fresh"));
}

TEST_F(PodControl, AnswersARepeatedKeyWithTheProjectMadeBefore) {
  hit = idempotency_hit{true, "demo"};
  auto again = done<project_created>(create_project{"demo", {}}, test::an_idempotency_key("k"));
  EXPECT_TRUE(again.replayed);
  EXPECT_EQ(again.what.id, "demo");
  hit->same_body = false;
  EXPECT_EQ(refused(create_project{"demo", {}}, test::an_idempotency_key("k")), refusal_code::conflict);
  hit.reset();
  EXPECT_FALSE(done<project_created>(create_project{"fresh", {}}, test::an_idempotency_key("k")).replayed);
  EXPECT_EQ(changes.at(0).idempotency->key, "k");
}

TEST_F(PodControl, MakesNothingWhileItCannotLookUpTheIdempotencyKey) {
  queue_fault = fault::unavailable;
  EXPECT_EQ(want(create_project{"fresh", {}}, test::an_idempotency_key("k")).failed(), fault::unavailable);
  EXPECT_FALSE(located("fresh"));
}

TEST_F(PodControl, RefusesToDeleteAProjectWithCommandsUnlessForced) {
  queue.by_project = {{"demo", 0, 1}};
  EXPECT_EQ(refused(delete_project{"demo"}), refusal_code::conflict);
  EXPECT_TRUE(located("demo"));
  EXPECT_EQ(done<project>(delete_project{"demo", true}).id, "demo");
  EXPECT_FALSE(located("demo"));
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_EQ(changes[0].event, "project.deleted");
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].status, project_status::stopped);
  EXPECT_EQ(told[0].reason, "deleted");
}

TEST_F(PodControl, DeletesAProjectWhoseNeighboursAreBusy) {
  queue.by_project = {{"other", 5, 5}, {"demo", 0, 0}};
  EXPECT_EQ(done<project>(delete_project{"demo"}).status, project_status::running);
  EXPECT_EQ(refused(delete_project{"demo"}), refusal_code::not_found);
}

TEST_F(PodControl, DeletesNothingWhileItCannotSeeTheQueue) {
  kill(peers.get<queries::actor>());
  EXPECT_EQ(want(delete_project{"demo"}).failed(), fault::unavailable);
  EXPECT_TRUE(located("demo"));
}

TEST_F(PodControl, CannotStartOrStopFolders) {
  for (const auto verb : {project_verb::start, project_verb::stop, project_verb::restart})
    EXPECT_EQ(refused(change_project{"demo", verb}), refusal_code::conflict);
}

TEST_F(PodControl, TakesAForeignOperationForABug) {
  EXPECT_EQ(want(list_keys{}).failed(), fault::internal);
}

} // namespace
} // namespace rdev::pod_control
