// Package shop is a product page made of small services, the article's example grown up:
// each is a process of its own, has its own data and knows nothing of the others.
//
//	service          gives
//	products         GET /products/{id}, GET /products?category=&merchant=&after=&limit=
//	merchants        GET /merchants/{id}?country=&weight=           with the ways of delivery
//	offers           GET /offers?product=
//	prices           GET /prices/{id}?currency=&quantity=&offer=
//	payments         GET /payments?country=&amount=&currency=
//	inventory        GET /inventory/{id}; POST, GET, DELETE …/reservations
//	reviews          GET /reviews?product=&after=&limit=, POST /reviews
//	recommendations  GET /recommendations?product=&limit=&exclude=
//	orders           GET /orders?customer=&product=&after=&limit=   the purchase history
//
// One of them is run by "earshot service products", several behind a gateway by
// "earshot up --services products,prices,offers". Each describes itself at /openapi.json.
//
// # A page of them
//
// What a service has to know of another comes to it in the URL, so that a page is
// composed by passing on values of answers:
//
//	products         .merchant, .weight                  → merchants
//	offers           .apply                              → prices offer=
//	prices           .total.amount, .total.currency      → payments
//	orders           .customer.country, .currency        → merchants, prices, payments
//	orders           .bought                             → recommendations exclude=
//
// An id in a path that is not known is 404; a query that finds nothing is an empty list,
// so that a part of a page that has nothing to say is no failure. An unknown parameter is
// refused: a slip in "currency" would be a price in another one.
//
// # Money
//
// Money is integers of the currency's smallest unit, and {"amount":"12.90",
// "currency":"EUR"} in JSON; yen have no decimals, dinars three. Rates and percentages
// are exact fractions. What does not come out even is rounded once, halves away from
// zero; package prices says where.
//
// # Data
//
// The data are JSON files beside the code of each service and are embedded in it: 52
// products of ten merchants in nine currencies, 40 customers with 284 orders, 87 reviews.
// Names, rates and orders are made up. What one service has of another, such as the deals
// in prices and the baskets in recommendations, is a copy, as it would be among teams; the
// tests of this package see that all of them agree.
//
// Two services are told something, and keep it in a Log below the folder data:
// services/reviews/reviews.jsonl and services/inventory/reservations.jsonl. Such a file
// may be shared by several processes, is bounded by MaxLog, and can be read, and mended,
// with an editor while no service runs. Without a folder they keep it in memory.
//
// Who a client is, and what it may see, is not asked here: that is the gateway's part.
package shop
