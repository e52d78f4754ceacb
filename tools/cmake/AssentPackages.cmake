# What we take from the distribution (tools/install-deps.sh installs it). Protobuf is found in module mode: Debian ships
# no package configuration for it, and gRPC's own expects the module's targets.

find_package(Threads REQUIRED)
find_package(SQLite3 3.37 REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(Protobuf 3.21 MODULE REQUIRED)
if(ASSENT_GRPC)
  find_package(gRPC CONFIG REQUIRED)
endif()
if(ASSENT_TESTS)
  find_package(GTest CONFIG REQUIRED)
endif()
find_package(benchmark CONFIG QUIET)
