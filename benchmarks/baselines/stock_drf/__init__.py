"""What a tutorial of REST framework comes to: ModelSerializer, viewsets, page numbers, simplejwt."""
