window.STYLES = [{"name": "starry_night", "title": "The Starry Night"}, {"name": "great_wave", "title": "The Great Wave off Kanagawa"}];
