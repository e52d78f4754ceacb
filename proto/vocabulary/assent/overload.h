#pragma once

// Lambdas as one visitor, for std::visit: a case of its own for each alternative.

namespace assent {

template <typename... Cases>
struct Overload : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overload(Cases...) -> Overload<Cases...>;

}  // namespace assent
