#pragma once

// Messages are taken as they are on the wire, for then the limits on them hold: what is compressed
// may be a thousand times as large, and gRPC 1.51 asks for its size when it has all of it.

#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpcpp/support/channel_arguments.h>

namespace assent::tls {

// Of grpc_compression_algorithm: none but GRPC_COMPRESS_NONE.
inline constexpr int kUncompressedAlone = 1 << GRPC_COMPRESS_NONE;

// What comes compressed is refused (UNIMPLEMENTED), and not inflated.
inline void TakeNothingCompressed(grpc::ChannelArguments& arguments) {
  arguments.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, kUncompressedAlone);
  arguments.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
}

}  // namespace assent::tls
