"""The phrases and words that `intent_generator` makes texts of: 30 intents of 5 domains, written for this program.

Phrases of an intent stand one after another, divided by "|". A word in braces is a slot. Most phrases of an intent share one
of two or three words, and intents share words too (a flight is booked, delayed, changed), so that one example of an intent
does not say everything about it.
"""

PHRASES: dict[str, dict[str, str]] = {
    "travel": {
        "book flight": """book a flight to {city} | i need a flight to {city} on {day} | find me a flight from
            {city} to {city} | book me on the {time} plane to {city} | what is the cheapest flight to {city} |
            reserve two plane tickets for {person} and me | buy a plane ticket to {city} | are there flights to
            {city} for {amount}""",
        "flight status": """is the flight from {city} on time | has the flight of {person} landed yet | when does my
            plane arrive | is my flight delayed | how late is the plane from {city} | which gate does my plane leave
            from | is the {time} flight still on time | check the arrival of flight {number}""",
        "change booking": """change my trip to {day} | can i change the date of my trip | i have to change my
            booking for {city} | move my booking to {day} | change the return to {day} | change the name on my
            booking to {person} | i want to change my seat on the trip to {city} | put my trip off until {day}""",
        "find hotel": """find a hotel in {city} | book a hotel in {city} for {day} | is there a hotel in {city}
            under {amount} a night | i need a hotel for {number} nights | hotels near the station in {city} | book a
            double room in {city} for {number} nights | which hotel in {city} has breakfast | find me a room for the
            night in {city}""",
        "lost luggage": """my suitcase did not arrive in {city} | the airline lost my luggage | where is my luggage
            from {city} | i am still waiting for my suitcase | report a lost {color} suitcase | somebody took my
            {color} bag | my luggage never made it to {city} | track my lost bag""",
        "travel papers": """do i need a visa for {country} | is my passport valid for {country} | does {person} need
            a visa to enter {country} | how long can i stay in {country} without a visa | apply for a visa for
            {country} | how do i renew my passport | do i need a passport for {country} | my passport expires on
            {day}""",
    },
    "banking": {
        "check balance": """what is the balance of my {account} account | how much money do i have | show my account
            balance | how much is left on my {account} account | do i have enough money to pay {amount} | tell me my
            balance | how much money is in my account | check the {account} account balance""",
        "send money": """send {amount} to {person} | transfer {amount} to {person} | send money to {person} |
            transfer {amount} to my {account} account | transfer money to a bank in {country} | i want to send
            {person} {amount} on {day} | pay {person} back {amount} | make a transfer of {amount}""",
        "block card": """block my card | my card was stolen in {city} | freeze my credit card | i lost my credit
            card | i cannot find my card | block the card for my {account} account | stop my stolen card | my card
            is gone so freeze it""",
        "report charge": """i do not recognise a charge of {amount} | there is a strange charge on my statement | i
            was charged twice for {amount} | dispute a charge of {amount} | who charged my {account} account
            {amount} | this charge is wrong | i did not make the payment of {amount} in {city} | report a wrong
            charge from {day}""",
        "exchange rate": """what is the exchange rate for {currency} | how many {currency} do i get for {amount} |
            exchange {amount} into {currency} | how much is {amount} in {currency} | is the rate of the {currency}
            good | rate of {currency} to dollars | convert {amount} to {currency} | what are {currency} worth in
            {country}""",
        "open account": """open a {account} account | i want to open an account | how do i open a {account} account
            for {person} | what do i need to open a new account | can i open an account in {country} | a new
            {account} account for {person} | how can i become a new customer | sign me up for a new account""",
    },
    "kitchen": {
        "find recipe": """find a recipe for {dish} | how do i make {dish} | what can i cook with {food} | a recipe
            with {food} and {food} | how do i cook {dish} | recipe ideas for {day} | is there an easy recipe for
            {dish} | show me how to make {dish}""",
        "replace ingredient": """what can i use instead of {food} | can i replace {food} with {food} | a substitute
            for {food} in {dish} | can i use {food} instead of {food} | replace the {food} in {dish} | i have no
            {food} so what can i use instead | is {food} a good substitute for {food} | make {dish} without
            {food}""",
        "cooking time": """how long does {dish} cook | how long do i boil {food} | how many minutes for {food} in
            the oven | how long is {dish} in the oven | when is the {food} done | at what oven temperature do i bake
            {dish} | cooking time for {food} | cook {food} for how many minutes""",
        "book table": """book a table for {number} on {day} | reserve a table at {time} | is there a table at the
            restaurant at {time} | book dinner at a restaurant in {city} | a table for {number} people | make a
            restaurant reservation for {person} | reserve a restaurant table in {city} | dinner reservation for
            {number} at {time}""",
        "order food": """order {dish} | i want to order {dish} to my home | order {dish} for delivery | can {dish}
            be delivered at {time} | deliver {dish} for {number} people | place an order of {dish} and {dish} |
            order a takeaway for {person} | what does delivery of {dish} cost""",
        "calories": """how many calories are in {dish} | calories in {food} | is {food} healthy | how much sugar is
            in {dish} | is {dish} healthy | how much fat is in {food} | does {food} have fewer calories than {food}
            | how healthy is {dish} with {food}""",
    },
    "home": {
        "play music": """play some {music} | play a song by {person} | i want to hear {music} | play music in the
            {room} | play the next song | put on {music} music | start my {music} songs | play music for
            {person}""",
        "set alarm": """set an alarm for {time} | wake me up at {time} | set the alarm for {day} at {time} | i have
            to wake up at {time} | set a timer for {number} minutes | cancel the {time} alarm | change my alarm to
            {time} | wake {person} up on {day}""",
        "switch light": """turn on the light in the {room} | turn off the {room} light | switch off the lights |
            make the {room} light brighter | dim the lights in the {room} | switch the {room} lamp on | turn the
            lights {color} | lights out in the {room}""",
        "room temperature": """make the {room} warmer | turn up the heating in the {room} | it is too cold in the
            {room} | set the heating to {number} degrees | how warm is the {room} | turn down the heating | what is
            the temperature in the {room} | set the {room} temperature to {number} degrees""",
        "shopping list": """add {food} to my shopping list | put {food} on the list | what is on my shopping list |
            take {food} off the shopping list | i have to buy {food} | add {food} and {food} to the list | remind me
            to buy {food} | do we need to buy {food}""",
        "lock door": """lock the front door | is the front door locked | open the garage door | lock the {room} door
            | unlock the door for {person} | did i lock the door | close the {room} window and lock it | lock up the
            house at {time}""",
    },
    "work": {
        "plan meeting": """schedule a meeting with {person} | set up a meeting on {day} | plan a meeting with
            {person} and {person} | put a meeting in my calendar for {time} | when can i meet {person} | schedule a
            call with {person} on {day} | arrange to meet {person} at {time} | invite {person} to a meeting""",
        "cancel meeting": """cancel the meeting with {person} | cancel my meeting on {day} | call off the {time}
            meeting | i cannot come to the meeting on {day} | cancel all my meetings | cancel the call with {person}
            | cancel my {time} appointment | remove the appointment with {person} from my calendar""",
        "take leave": """i want to take leave on {day} | how many vacation days do i have left | request {number}
            days of vacation | take a day off on {day} | can i take {day} off | i need {number} days off | request
            leave for {country} | when is my vacation approved""",
        "send message": """send a message to {person} | write {person} an email | text {person} that i am late |
            send {person} an email about {day} | tell {person} that i come at {time} | write to {person} | answer
            the message of {person} | read my last message""",
        "pay slip": """where is my pay slip | show me my last pay slip | when do i get my salary | how much tax do i
            pay | my salary is wrong | was the bonus in my salary | how much tax is on my pay slip | my pay is
            {amount} short""",
        "book room": """book a meeting room for {number} people | is a meeting room free at {time} | reserve the
            conference room on {day} | which conference room is free | book the {color} room for {person} | book a
            room with a projector | a room for a meeting at {time} | reserve the {color} room at {time}""",
    },
}  # fmt: skip
"""The phrases of every intent of every domain."""

WORDS: dict[str, str] = {
    "account": "current checking business family student shared",
    "amount": "ten_euros 20_dollars fifty_pounds 75_dollars a_hundred_euros 120_pounds 300_dollars a_thousand_euros",
    "city": "london paris madrid oslo chicago boston tokyo delhi cairo lima sydney toronto vienna prague",
    "color": "red blue green black yellow grey",
    "country": "france spain norway japan india egypt peru brazil canada kenya turkey vietnam",
    "currency": "euros yen pounds rupees francs pesos kroner lira",
    "day": "monday tuesday wednesday thursday friday saturday sunday tomorrow next_week the_fifth the_twelfth may_third",
    "dish": "lasagne curry pancakes risotto a_roast_chicken apple_pie lentil_soup fried_rice a_burger sushi tacos goulash",
    "food": "rice eggs butter milk flour tomatoes beans spinach cheese salmon potatoes garlic mushrooms carrots honey",
    "music": "jazz rock opera blues folk techno piano_music country_songs",
    "number": "two three four five six eight ten twelve fifteen twenty 25 40",
    "person": "anna ben carla david emma felix grace henry irene john maria peter sofia tom my_boss my_brother my_wife",
    "room": "kitchen bedroom bathroom hall living_room office cellar nursery",
    "time": "six_am seven half_past_eight nine_thirty noon two_pm quarter_to_four five_o'clock seven_pm midnight",
}
"""What a slot may be filled with; "_" is a space."""

OPENINGS = """| | | | | | please | can you | hello, | hi there, | excuse me, | could you tell me, | i'd like to know, |
    listen, | okay | just"""
"""What a text may begin with, whatever its intent; some are empty."""
CLOSINGS = """| | | | | | | | | please | thanks | thank you | right away | for me | if that's possible | today | now"""
"""What a text may end with, whatever its intent; some are empty."""
