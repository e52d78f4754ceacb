# Installation of the SDK as a CMake package. Filled in with participant-sdk.
