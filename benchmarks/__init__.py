"""What measures the shop: `make bench`. No part of it; see docs/performance.md."""
