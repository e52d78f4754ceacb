// Events over gRPC: from a position on, many followers at a time, and a stop that ends them all.

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/grpc/api_rig.h"

namespace assent::test {
namespace {

class EventsTest : public ApiRig {
 protected:
  struct Stream {
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<grpc::ClientReader<v1::EventsReply>> reader;
  };
  Stream Follow(const v1::EventsRequest& request) {
    Stream stream;
    stream.context = Context();
    stream.reader = stub_->Events(stream.context.get(), request);
    return stream;
  }
  // "BEGAN:g DECIDED:g", up to the first of this kind.
  static std::string Until(Stream& stream, v1::EventKind kind, std::string* position = nullptr) {
    std::string words;
    v1::EventsReply reply;
    while (stream.reader->Read(&reply)) {
      if (position != nullptr) *position = reply.position();
      bool found = false;
      for (const v1::Event& event : reply.events()) {
        words += (words.empty() ? "" : " ") + v1::EventKind_Name(event.kind()) + ":" + event.gid();
        found = found || event.kind() == kind;
      }
      if (found) return words;
    }
    return words + " (ended)";
  }
  void Aborted(const std::string& gid) {
    v1::SubmitRequest request = Submit(gid, "absent");
    request.mutable_transaction()->set_deadline_ms(600'000);
    request.set_wait_for(v1::WAIT_ACCEPTED);
    ASSERT_EQ(TrySubmit(request), "OK");
    v1::AbortRequest abort;
    abort.mutable_action()->set_who("ann");
    abort.mutable_action()->set_gid(gid);
    v1::OperatorReply reply;
    ASSERT_EQ(Text(stub_->Abort(Context().get(), abort, &reply)), "OK");
  }
};

TEST_F(EventsTest, EachFollowerHearsTheSameAndTheRestWhenHeComesBack) {
  v1::EventsRequest request;
  request.set_gid_prefix("g");
  std::vector<Stream> streams;
  v1::EventsReply first;
  for (int i = 0; i < 20; ++i) {
    streams.push_back(Follow(request));
    ASSERT_TRUE(streams.back().reader->Read(&first));
    EXPECT_EQ(first.events_size(), 0);
  }
  Aborted("g1");
  std::string position;
  for (Stream& stream : streams) {
    EXPECT_EQ(Until(stream, v1::ENDED, &position), "BEGAN:g1 INTERVENED:g1 DECIDED:g1 ENDED:g1");
    stream.context->TryCancel();
    EXPECT_EQ(stream.reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  Aborted("g2");
  request.set_after(position);
  Stream again = Follow(request);
  EXPECT_EQ(Until(again, v1::ENDED), "BEGAN:g2 INTERVENED:g2 DECIDED:g2 ENDED:g2");
  again.context->TryCancel();
  (void)again.reader->Finish();
}

TEST_F(EventsTest, AnotherStartSaysThatItIsAnother) {
  Aborted("g1");
  v1::EventsRequest request;
  request.set_from_start(true);
  std::string position;
  Stream stream = Follow(request);
  EXPECT_NE(Until(stream, v1::ENDED, &position).find("BEGAN:g1"), std::string::npos);
  server_->Stop();
  while (stream.reader->Read(std::make_unique<v1::EventsReply>().get())) {
  }
  const grpc::Status ended = stream.reader->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ended.error_message(), "this coordinator is stopping");
  server_.reset();
  StartServer();
  request.set_after(position);
  request.set_once(true);
  Stream later = Follow(request);
  v1::EventsReply reply;
  ASSERT_TRUE(later.reader->Read(&reply));
  EXPECT_TRUE(reply.missed().other_start());
  EXPECT_EQ(reply.missed().after(), position);
  EXPECT_NE(reply.position().substr(0, reply.position().find('.')),
            position.substr(0, position.find('.')));
  EXPECT_FALSE(later.reader->Read(&reply));
  EXPECT_TRUE(later.reader->Finish().ok());
}

TEST_F(EventsTest, WhatMakesNoSenseIsRefused) {
  v1::EventsRequest request;
  request.set_after("seven");
  Stream stream = Follow(request);
  v1::EventsReply reply;
  EXPECT_FALSE(stream.reader->Read(&reply));
  EXPECT_EQ(stream.reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace assent::test
