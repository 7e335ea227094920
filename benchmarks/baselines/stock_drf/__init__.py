"""REST framework as in its tutorial: ModelSerializer, viewsets, page numbers, simplejwt."""
