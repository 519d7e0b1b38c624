//go:build !race

package room

const poison = false
