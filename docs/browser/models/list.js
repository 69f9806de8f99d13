window.STYLES = [{"name": "starry_night", "title": "The Starry Night"}];
