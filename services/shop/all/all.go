// Package all has the services of the shop together, for programs that run any of them.
package all

import (
	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop/inventory"
	"github.com/earshot-mq/earshot/services/shop/merchants"
	"github.com/earshot-mq/earshot/services/shop/offers"
	"github.com/earshot-mq/earshot/services/shop/orders"
	"github.com/earshot-mq/earshot/services/shop/payments"
	"github.com/earshot-mq/earshot/services/shop/prices"
	"github.com/earshot-mq/earshot/services/shop/products"
	"github.com/earshot-mq/earshot/services/shop/recommendations"
	"github.com/earshot-mq/earshot/services/shop/reviews"
)

// Services is how each is made, by its name.
func Services() map[string]func() *services.Service {
	return map[string]func() *services.Service{
		inventory.Name:       inventory.New,
		merchants.Name:       merchants.New,
		offers.Name:          offers.New,
		orders.Name:          orders.New,
		payments.Name:        payments.New,
		prices.Name:          prices.New,
		products.Name:        products.New,
		recommendations.Name: recommendations.New,
		reviews.Name:         reviews.New,
	}
}
