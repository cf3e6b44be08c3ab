// Amounts of type money.
//
// A value of money is a number of the smallest unit of the currency, and what that is, its symbol
// and its separators are in lc_monetary of whoever writes or reads it. The binary form is that
// number; the text may be read without a complaint by a reader with other separators, as another
// amount: 1.234 is a thousand in one place and one in another. So amounts go as text, and only
// where both sides write the same amount alike.
#ifndef FASTCOPY_PLAN_MONEY_HPP
#define FASTCOPY_PLAN_MONEY_HPP

#include "plan/chunk.hpp"
#include "source/connection.hpp"

namespace fastcopy::plan {

// An ERROR that names the column if amounts are to be copied and the source writes them in another
// way than the current settings do. Asks the source only if a copied column has amounts.
void check_money(source::Connection *connection, const RowShape &shape);

}  // namespace fastcopy::plan

#endif
