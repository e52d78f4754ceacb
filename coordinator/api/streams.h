#pragma once

#include <memory>

#include <grpcpp/grpcpp.h>

#include "assent/v1/transaction.pb.h"
#include "coordinator/api/holdings.h"
#include "coordinator/engine/engine.h"

namespace assent::api {

// Both speak bytes (call.h says why): frames of assent.v1.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartSubmitStream(
    engine::Engine& engine, Holdings& holdings, grpc::CallbackServerContext* context,
    std::size_t max_outstanding);
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartWatch(engine::Engine& engine, Holdings& holdings,
                                                       grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request);

// Posts a Submit; `done` is called once, also if it could not be posted.
void PostSubmit(engine::Engine& engine, v1::TransactionSpec spec, v1::WaitFor wait_for, bool open,
                engine::ViewCallback done, engine::Abandoned abandoned = {});

}  // namespace assent::api
